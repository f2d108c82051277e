"""The parts of an mcap file that hold messages -> their records, one part at a time.

Format: https://mcap.dev/spec. A record is an opcode, the length of its content, its content.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Chunk

from regseg_core.bag.storage.compression import MOST_BYTES, expanded
from regseg_core.bag.storage.file import StorageError

HEAD = struct.Struct("<BQ")
#: Channel, sequence, log time and publish time, then the message.
MESSAGE = struct.Struct("<HIQQ")

#: What the mcap library raises for damaged records, and what reading a damaged disk does.
DAMAGE = (McapError, struct.error, ValueError, OverflowError, OSError, MemoryError)


class Part(NamedTuple):
    """A chunk, or a run of messages outside of chunks. Sorts by time, then by place."""

    start_ns: int
    offset: int
    end_ns: int
    size: int  # bytes of its records, decompressed
    is_chunk: bool = True

    @property
    def last_ns(self) -> int:
        return max(self.start_ns, self.end_ns)


class Messages(NamedTuple):
    """Those of one part, in order."""

    records: memoryview
    #: Log times, where needed moved into the time that the part claims to be of.
    order_ns: npt.NDArray[np.uint64]
    #: N x 4: log time, channel, begin and end in the records.
    entries: npt.NDArray[np.uint64]


def load(file: BinaryIO, part: Part) -> tuple[bytes, str | None]:
    """The records of a part, and what is missing of them, in words.

    Only the end can be missing: where the file ends early, or where no whole record follows. Raises
    StorageError where the content is doubtful.
    """
    try:
        file.seek(part.offset)
        if not part.is_chunk:
            return file.read(part.size), None
        opcode, length = HEAD.unpack(file.read(HEAD.size))
        if opcode != Opcode.CHUNK:
            raise StorageError("it is not where the index says")
        if length > MOST_BYTES:
            raise StorageError(f"it claims to have {length} bytes")
        content = file.read(length)
        chunk = Chunk.read(ReadDataStream(BytesIO(content)))
    except DAMAGE as error:
        raise StorageError(f"its head is damaged ({error or type(error).__name__})") from error
    size = chunk.uncompressed_size
    if size > MOST_BYTES:
        raise StorageError(f"it claims to hold {size} bytes")
    if size != part.size:
        raise StorageError(f"it claims to hold {size} bytes, the index {part.size}")
    records = expanded(chunk.data, chunk.compression, size)
    if len(content) < length and len(records) < size:
        return records, "the file ends in it"
    if len(records) != size:
        raise StorageError(f"it does not hold the {size} bytes that it claims")
    if chunk.uncompressed_crc not in (0, zlib.crc32(records)):
        raise StorageError("its checksum is wrong")
    end = max((end for _, _, end in records_of(records)), default=0)
    return records, f"its last {size - end} bytes are no whole record" if end < size else None


def records_of(data: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """Opcode, begin and end of the content of each whole record."""
    place = 0
    while place + HEAD.size <= len(data):
        opcode, length = HEAD.unpack_from(data, place)
        begin = place + HEAD.size
        place = begin + length
        if place > len(data) or (opcode == Opcode.MESSAGE and length < MESSAGE.size):
            return
        yield opcode, begin, place


def messages_of(records: bytes, part: Part, start_ns: int) -> Messages:
    """Messages from that time on.

    Some writers claim a wrong first time (https://github.com/foxglove/mcap/issues/924). Parts are
    chosen by what they claim: messages have to be in order by it too, or some would get lost where
    reading goes on later.
    """
    # Numbers in arrays: as objects, those of a chunk of tiny messages have ten times its size.
    orders, entries = array("Q"), array("Q")
    for opcode, begin, end in records_of(records):
        if opcode == Opcode.MESSAGE:
            channel, _, time_ns, _ = MESSAGE.unpack_from(records, begin)
            order_ns = min(max(time_ns, part.start_ns), part.last_ns)
            if order_ns >= start_ns:
                orders.append(order_ns)
                entries.extend((time_ns, channel, begin + MESSAGE.size, end))
    unordered = np.array(orders, np.uint64)
    order = np.argsort(unordered, kind="stable")
    numbers = np.array(entries, np.uint64).reshape(-1, 4)
    return Messages(memoryview(records), unordered[order], numbers[order])
