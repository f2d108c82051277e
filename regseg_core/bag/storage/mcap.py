"""An mcap file, whole or damaged -> its messages in order of time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from mcap.records import Channel, Schema
from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat

from regseg_core.bag.storage.compression import MOST_BYTES
from regseg_core.bag.storage.file import Entry, Report, StorageError, connection_of
from regseg_core.bag.storage.mcap_layout import MAGIC, Layout, indexed
from regseg_core.bag.storage.mcap_parts import Messages, Part, load, messages_of
from regseg_core.bag.storage.mcap_salvage import searched

#: Parts of the same time are in memory together. Recorders write one after the other.
_MOST_OPEN_BYTES = 2 * MOST_BYTES

#: A part that is being read: order of its next message, its place in the file, that message's
#: number, its messages. They sort as messages do.
_Open = tuple[int, int, int, Messages]

_FORMATS = {
    "ros2msg": MessageDefinitionFormat.MSG,
    "ros2idl": MessageDefinitionFormat.IDL,
    "omgidl": MessageDefinitionFormat.IDL,
}


class McapFile:
    """See `Storage`. Raises StorageError and OSError where nothing can be read."""

    def __init__(self, path: Path, report: Report) -> None:
        self._report = report
        size = path.stat().st_size
        self._file = path.open("rb")
        try:
            if self._file.read(len(MAGIC)) != MAGIC:
                raise StorageError("it does not begin as an mcap file does")
            layout = self._layout(size)
            self._parts = sorted(layout.parts)
            _check_overlap(self._parts)
        except BaseException:
            self._file.close()
            raise
        self._channels = {
            id: _connection(channel, layout.schemas.get(channel.schema_id))
            for id, channel in layout.channels.items()
        }
        self.connections = [*self._channels.values()]
        self.counts: Counter[str] | None = None
        if layout.counts is not None:
            self.counts = Counter()
            for id, count in layout.counts.items():
                self.counts[self._channels[id].topic] += count
        # A chunk without messages claims times of nothing.
        filled = [part for part in self._parts if 0 < part.end_ns >= part.start_ns]
        last_ns = max((part.end_ns for part in filled), default=0)
        self.span_ns = (filled[0].start_ns, last_ns) if filled else None

    def entries(self, topics: Collection[str], start_ns: int) -> Iterator[Entry]:
        """All from that time on; what is damaged is reported and left out."""
        opened: list[_Open] = []
        for part in self._parts:
            yield from self._until(part.start_ns, opened, topics)
            if part.last_ns >= start_ns and (messages := self._messages(part, start_ns)):
                heapq.heappush(opened, (int(messages.order_ns[0]), part.offset, 0, messages))
        yield from self._until(None, opened, topics)

    def close(self) -> None:
        self._file.close()

    def _layout(self, size: int) -> Layout:
        damage: list[str] = []
        reason = ""
        try:
            if layout := indexed(self._file, size):
                return layout
        except StorageError as error:
            reason = str(error)
        layout = searched(self._file, size, damage.append)
        for flaw in damage or ([reason] if reason else []):
            self._report(flaw)
        return layout

    def _until(
        self,
        end_ns: int | None,
        opened: list[_Open],
        topics: Collection[str],
    ) -> Iterator[Entry]:
        """What the open parts have from before that time, which they lose."""
        while opened and (end_ns is None or opened[0][0] < end_ns):
            order_ns, offset, number, messages = opened[0]
            if number + 1 < len(messages.order_ns):
                following = int(messages.order_ns[number + 1])
                heapq.heapreplace(opened, (following, offset, number + 1, messages))
            else:
                heapq.heappop(opened)
            time_ns, channel, begin, end = (int(value) for value in messages.entries[number])
            connection = self._channels.get(channel)
            if connection is None:
                self._report(f"messages of channel {channel}, which is not described, are left out")
            wanted = connection is not None and connection.topic in topics
            data = bytes(messages.records[begin:end]) if wanted else None
            yield Entry(order_ns, time_ns, connection, data)

    def _messages(self, part: Part, start_ns: int) -> Messages | None:
        try:
            records, missing = load(self._file, part)
        except StorageError as error:
            self._report(f"the chunk at byte {part.offset} is left out: {error}")
            return None
        if missing:
            self._report(f"the chunk at byte {part.offset} is read as far as it goes: {missing}")
        messages = messages_of(records, part, start_ns)
        return messages if len(messages.order_ns) else None


def _connection(channel: Channel, schema: Schema | None) -> Connection:
    definition = MessageDefinition(MessageDefinitionFormat.NONE, "")
    if schema and schema.encoding in _FORMATS:
        text = schema.data.decode(errors="replace")
        definition = MessageDefinition(_FORMATS[schema.encoding], text)
    return connection_of(
        channel.id,
        channel.topic,
        schema.name if schema else "",
        definition,
        channel.metadata.get("topic_type_hash", ""),
        channel.message_encoding,
        channel.metadata.get("offered_qos_profiles", ""),
    )


def _check_overlap(parts: list[Part]) -> None:
    """Raises StorageError where reading in order of time would take too much memory."""
    opened: list[tuple[int, int]] = []
    held = 0
    for part in parts:
        while opened and opened[0][0] < part.start_ns:
            held -= heapq.heappop(opened)[1]
        size = min(part.size, MOST_BYTES)  # a chunk that claims more is not read
        heapq.heappush(opened, (part.last_ns, size))
        held += size
        if held > _MOST_OPEN_BYTES:
            raise StorageError(
                f"more than {_MOST_OPEN_BYTES >> 20} MiB of it are of the same time:"
                " order it with `mcap sort FILE -o NEW`"
            )
