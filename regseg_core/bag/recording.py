"""A bag -> its messages: every one that is whole, in the same order each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from rosbags.interfaces import Connection

from regseg_core.bag.deserializing import Deserializer
from regseg_core.bag.errors import BagError, MessageError
from regseg_core.bag.folder import BagFiles, find_files
from regseg_core.bag.opening import Opener
from regseg_core.bag.storage.compression import plain
from regseg_core.bag.storage.file import Entry, Storage, StorageError, seconds
from regseg_core.errors import ArgumentError, some_of

#: Lines about damage that are kept; nobody reads more of them.
_MOST_FLAWS = 200

#: Of such a line.
_MOST_CHARACTERS = 400

#: Before any time of an int64.
_BEGIN_NS = -(1 << 63)


@dataclass(frozen=True)
class Topic:
    """What a bag says about a topic."""

    name: str
    msgtype: str
    #: Messages, as the recorder counted them; None where it did not come to that.
    count: int | None
    #: Definition, hash of the type, encoding and quality of service: what a copy needs.
    connection: Connection


@dataclass(frozen=True, order=True)
class Position:
    """A place between messages, the same whatever topics are read. Three numbers, for JSON."""

    file: int
    time_ns: int
    count: int  # of messages of that time that the file has before it


@dataclass(frozen=True)
class Message:
    """A serialized message, and the place behind it."""

    topic: Topic
    time_ns: int  # when it was recorded
    data: bytes
    position: Position
    #: Why there are no data: their place in the file, or their compression, is damaged.
    damage: str = ""


class Recording:
    """A bag for reading: the folder of one, or one .mcap or .db3 file; for `with`.

    What is damaged or cut off is left out and named in `flaws`, and everything else is given.
    Raises BagError where there is nothing to give.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        #: What was found damaged so far, one line each: the file, what is wrong, what was done.
        self.flaws: list[str] = []
        #: Times of the first and the last message, as far as files tell without being read whole.
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        self._topics: dict[str, Topic] = {}
        self._opener = Opener()
        self._deserialize = Deserializer()
        files = find_files(self.path, self._flaw)
        self._files = files.paths
        try:
            self._look(files)
        except BaseException:
            self.close()
            raise

    @property
    def topics(self) -> Mapping[str, Topic]:
        """By name, in the order in which files have them."""
        return MappingProxyType(self._topics)

    def messages(
        self, topics: Collection[str] | None = None, after: Position | None = None
    ) -> Iterator[Message]:
        """Messages of those topics, of all where None: file by file, each in order of time.

        `after` goes on behind the message of that position. Raises ArgumentError for topics that
        the bag does not have.
        """
        wanted = frozenset(self._topics if topics is None else topics)
        if unknown := sorted(wanted - self._topics.keys()):
            raise ArgumentError(
                f"{self.path} has no topic {some_of(unknown)}: it has"
                f" {some_of(sorted(self._topics), 20)}"
            )
        return self._messages(wanted, after)

    def deserialize(self, message: Message) -> Any:
        """An object with the fields of the message's type; its arrays are views of its data.

        Types are those that the bag defines, images and what it does not define those of ROS 2.
        Raises MessageError, with topic and time, for bytes that are no whole message of that type.
        """
        if message.damage:
            raise MessageError(message.damage)
        try:
            return self._deserialize(message.topic.connection, message.data)
        except MessageError as error:
            name = _name(message.topic, message.time_ns)
            raise MessageError(_line(f"{name}: {error}")) from error

    def close(self) -> None:
        self._opener.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _look(self, files: BagFiles) -> None:
        """Topics and times of all files. Raises BagError where none of them has a message."""
        connections: dict[str, Connection] = {}
        counts: list[Mapping[str, int] | None] = []
        spans: list[tuple[int, int]] = []
        for path in files.paths:
            with self._opened(path) as storage:
                counts.append(storage.counts if storage else None)
                if storage is None:
                    continue
                for connection in storage.connections:
                    connections.setdefault(connection.topic, connection)
                if storage.span_ns:
                    spans.append(storage.span_ns)
        if spans:
            self.start_ns = min(start_ns for start_ns, _ in spans)
            self.end_ns = max(end_ns for _, end_ns in spans)
        if self.flaws and not (spans and connections):
            raise BagError(
                f"nothing of {self.path} can be read ({'; '.join(self.flaws[:3])}): copy it again"
                " from where it was recorded, or give another bag"
            )
        known = files.counts
        if known is None and None not in counts:
            known = sum((Counter(count) for count in counts), Counter[str]())
        for name, connection in connections.items():
            count = None if known is None else known.get(name, 0)
            digest = connection.digest or files.digests.get(name, "")
            connection = connection._replace(msgcount=count or 0, digest=digest)
            self._topics[name] = Topic(name, connection.msgtype, count, connection)

    def _messages(self, wanted: Collection[str], after: Position | None) -> Iterator[Message]:
        for number, path in enumerate(self._files):
            if after and number < after.file:
                continue
            begin_ns = after.time_ns if after and number == after.file else _BEGIN_NS
            with self._opened(path) as storage:
                if storage is None:
                    continue
                place = Position(number, _BEGIN_NS, 0)
                for entry in storage.entries(wanted, begin_ns):
                    count = place.count + 1 if entry.order_ns == place.time_ns else 1
                    place = Position(number, entry.order_ns, count)
                    if after is None or place > after:
                        yield from self._whole(path, entry, place, wanted)

    def _whole(
        self, path: Path, entry: Entry, place: Position, wanted: Collection[str]
    ) -> Iterator[Message]:
        """The message of an entry; none where it was not asked for, or is of another type."""
        if entry.connection is None or entry.connection.topic not in wanted:
            return
        topic = self._topics[entry.connection.topic]
        if entry.connection.msgtype != topic.msgtype:
            self._flaw(
                f"{path.name}: messages of {topic.name} that are {entry.connection.msgtype} are"
                f" left out: it began as {topic.msgtype}"
            )
            return
        data, damage = b"", ""
        try:
            if entry.data is None:
                raise StorageError("its data cannot be read")
            data = plain(entry.data)
        except StorageError as error:
            damage = _line(f"{path.name}: {_name(topic, entry.time_ns)} is left out: {error}")
            self._flaw(damage)
        yield Message(topic, entry.time_ns, data, place, damage)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Storage | None]:
        storage = self._opener.open(path, lambda flaw: self._flaw(f"{path.name}: {flaw}"))
        try:
            yield storage
        finally:
            if storage is not None:
                storage.close()

    def _flaw(self, flaw: str) -> None:
        flaw = _line(flaw)
        if len(self.flaws) <= _MOST_FLAWS and flaw not in self.flaws:
            more = len(self.flaws) == _MOST_FLAWS
            self.flaws.append("more is damaged than this" if more else flaw)


def _line(text: str) -> str:
    """What a log can show of a text that may have names from the bag in it."""
    return "".join(c if c.isprintable() else " " for c in text[:_MOST_CHARACTERS])


def _name(topic: Topic, time_ns: int) -> str:
    return f"{topic.name} at {seconds(time_ns)}"
