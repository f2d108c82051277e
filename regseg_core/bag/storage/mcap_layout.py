"""Where an mcap file has its messages, and of which topics, as the index at its end tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Schema

from regseg_core.bag.storage.compression import MOST_BYTES
from regseg_core.bag.storage.file import StorageError
from regseg_core.bag.storage.mcap_parts import DAMAGE, Part

MAGIC = b"\x89MCAP0\r\n"


@dataclass
class Layout:
    """What has to be known before messages can be read."""

    parts: list[Part] = field(default_factory=list)
    channels: dict[int, Channel] = field(default_factory=dict)
    schemas: dict[int, Schema] = field(default_factory=dict)
    counts: dict[int, int] | None = None  # of messages, by channel

    def describe(self, opcode: int, content: bytes | memoryview) -> None:
        """Takes a record if it describes a channel. Raises what `DAMAGE` lists."""
        stream = ReadDataStream(BytesIO(content))
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self.schemas.setdefault(schema.id, schema)
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            self.channels.setdefault(channel.id, channel)


def indexed(file: BinaryIO, size: int) -> Layout | None:
    """None where the index does not tell all; it may do so in a file that is whole.

    Raises StorageError where it is missing or damaged.
    """
    try:
        file.seek(0)
        summary = SeekingReader(file, record_size_limit=MOST_BYTES).get_summary()
    except DAMAGE as error:
        raise StorageError("its index at the end is missing or damaged: nothing else is") from error
    if summary is None or summary.statistics is None:
        return None
    # By their places, so that none is read twice.
    parts = {
        index.chunk_start_offset: Part(
            index.message_start_time,
            index.chunk_start_offset,
            index.message_end_time,
            index.uncompressed_size,
        )
        for index in summary.chunk_indexes
    }
    if max(parts, default=0) >= size:
        raise StorageError("its index at the end is damaged: nothing else is")
    if len(parts) != summary.statistics.chunk_count or (
        summary.statistics.message_count and not parts
    ):
        return None
    counts = summary.statistics.channel_message_counts
    ids = {*counts, *(id for index in summary.chunk_indexes for id in index.message_index_offsets)}
    if not ids <= summary.channels.keys():
        return None
    return Layout([*parts.values()], dict(summary.channels), dict(summary.schemas), dict(counts))
