"""Where an mcap file without a whole index has its messages: read from its front, past damage."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from mcap.opcode import Opcode

from regseg_core.bag.storage.compression import MOST_BYTES
from regseg_core.bag.storage.file import Report, StorageError
from regseg_core.bag.storage.mcap_layout import MAGIC, Layout
from regseg_core.bag.storage.mcap_parts import DAMAGE, HEAD, MESSAGE, Part, load, records_of

#: Messages outside of chunks are read so many bytes at once.
_RUN_BYTES = 4 << 20

#: First and last time of a chunk, and the size of its records.
_CHUNK = struct.Struct("<QQQ")

#: The head of a chunk: its length, 28 bytes with times, size and checksum, the compression, and the
#: length of the data, which has to fit the first one: other bytes look so once in 10^19 places.
_CHUNK_HEAD = re.compile(
    rb"\x06(?=(.{8}).{28}(\0{4}|\x04\0\0\0zstd|\x03\0\0\0lz4)(.{8}))", re.DOTALL
)
_CHUNK_FIXED = 40
_LONGEST_HEAD = 64
_STEP = 1 << 20

#: Of the records that say that what follows is no message.
_END_LENGTHS: dict[int, int] = {Opcode.DATA_END: 4, Opcode.FOOTER: 20}


def searched(file: BinaryIO, size: int, report: Report) -> Layout:
    """Reads the heads of all records, and those chunks in which a channel may be described.

    Where the file ends early or is damaged between its records, a line is reported.
    """
    layout = Layout()
    unread: list[Part] = []  # chunks that may describe channels
    known: set[int] = set()
    indexed: set[int] = set()  # channels that the last chunk has messages of

    def settle() -> None:
        if indexed and indexed <= known:
            unread.pop()
        known.update(indexed)
        indexed.clear()

    for offset, opcode, begin, end in _frames(file, size, report):
        with suppress(*DAMAGE):
            file.seek(begin)
            if opcode == Opcode.CHUNK:
                settle()
                start_ns, end_ns, held = _CHUNK.unpack(file.read(_CHUNK.size))
                layout.parts.append(Part(start_ns, offset, end_ns, held))
                unread.append(layout.parts[-1])
            elif opcode == Opcode.MESSAGE_INDEX:
                indexed.update(struct.unpack("<H", file.read(2)))
            elif opcode == Opcode.MESSAGE:
                _, _, time_ns, _ = MESSAGE.unpack(file.read(MESSAGE.size))
                _lengthen(layout.parts, Part(time_ns, offset, time_ns, end - offset, False))
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                layout.describe(opcode, file.read(end - begin))
    settle()
    for part in unread:
        with suppress(StorageError, *DAMAGE):  # reported when its messages are read
            records, _ = load(file, part)
            for opcode, begin, end in records_of(records):
                layout.describe(opcode, records[begin:end])
    return layout


def _lengthen(parts: list[Part], message: Part) -> None:
    """Adds a message outside of chunks to the run of such that it continues, or as a new one."""
    last = parts[-1] if parts else message
    size = last.size + message.size
    if last.is_chunk or last.offset + last.size != message.offset or size > _RUN_BYTES:
        parts.append(message)
    else:
        start_ns, end_ns = min(last.start_ns, message.start_ns), max(last.end_ns, message.end_ns)
        parts[-1] = last._replace(start_ns=start_ns, end_ns=end_ns, size=size)


def _frames(file: BinaryIO, size: int, report: Report) -> Iterator[tuple[int, int, int, int]]:
    """Place of each record, its opcode, begin and end of its content.

    All of it is in the file, but for that of a last chunk in which the file ends.
    """
    place = len(MAGIC)
    messages_ended = False
    while True:
        opcode, begin, end = _head(file, place)
        if _plausible(opcode, end - begin) and end <= size:
            yield place, opcode, begin, end
            if opcode == Opcode.FOOTER:
                return
            messages_ended |= opcode == Opcode.DATA_END
            place = end
            continue
        if messages_ended:  # only of the index there is less
            return
        following = _next_chunk(file, place + 1, size)
        if following is None:
            if opcode == Opcode.CHUNK:
                yield place, opcode, begin, end
            report(f"it is cut off or damaged from byte {place} of {size} on")
            return
        report(f"bytes {place} to {following} are damaged: what they held is left out")
        place = following


def _head(file: BinaryIO, place: int) -> tuple[int, int, int]:
    """Opcode, begin and end of the content; an opcode of 0, which no record has, where none is."""
    try:
        file.seek(place)
        opcode, length = HEAD.unpack(file.read(HEAD.size))
    except DAMAGE:
        return 0, place, place
    return opcode, place + HEAD.size, place + HEAD.size + length


def _plausible(opcode: int, length: int) -> bool:
    if opcode == Opcode.MESSAGE:
        return MESSAGE.size <= length <= MOST_BYTES
    if opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
        return length <= MOST_BYTES
    if opcode in _END_LENGTHS:
        return length == _END_LENGTHS[opcode]
    return opcode in Opcode._value2member_map_ or opcode >= 0x80  # those are free for anyone


def _next_chunk(file: BinaryIO, place: int, size: int) -> int | None:
    """The place of the next whole chunk."""
    while place < size:
        try:
            file.seek(place)
            data = file.read(_STEP + _LONGEST_HEAD)
        except OSError:
            data = b""  # a part of the disk that cannot be read
        for found in _CHUNK_HEAD.finditer(data):
            length, compression, held = found.groups()
            expected = _CHUNK_FIXED - 4 + len(compression) + int.from_bytes(held, "little")
            end = place + found.start() + HEAD.size + expected
            if int.from_bytes(length, "little") == expected and end <= size:
                return place + found.start()
        place += _STEP
    return None
