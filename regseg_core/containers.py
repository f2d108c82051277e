"""Whether a video file has all the bytes that its container announces.

Decoders end quietly where a file does, and their number of frames is no measure: containers also
count frames that an edit has taken out, or none at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

#: Boxes that an MP4 or QuickTime file may begin with (ISO/IEC 14496-12, QuickTime File Format).
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"


def is_cut_off(path: str | Path) -> bool:
    """Whether an MP4, QuickTime, Matroska, WebM or AVI file ends early.

    False for what is of another kind, or no file, as a stream's address is. Raises OSError.
    """
    if not Path(path).is_file():
        return False
    length = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        start = file.read(12)
        if start[4:8] in _FIRST_BOXES:
            return _end_of_boxes(file, length) > length
        if start[:4] == b"RIFF":
            return 8 + int.from_bytes(start[4:8], "little") > length
        if start[:4] == _EBML:
            return _end_of_segment(file) > length
    return False


def _end_of_boxes(file: BinaryIO, length: int) -> int:
    """Where the last box of an MP4 should end; `length` is the file's."""
    end = 0
    while end < length:
        file.seek(end)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size < 8:  # 0: up to the end of the file
            return length
        end += size
    return end


def _end_of_segment(file: BinaryIO) -> int:
    """Where the segment of a Matroska file should end; 0 where the file does not say."""
    file.seek(len(_EBML))
    file.seek(_variable(file) or 0, 1)
    if file.read(len(_SEGMENT)) != _SEGMENT or (size := _variable(file)) is None:
        return 0
    return file.tell() + size


def _variable(file: BinaryIO) -> int | None:
    """A number of one to eight bytes (RFC 8794, section 4); None: unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    bits = 7 * width
    value = int.from_bytes(first + file.read(width - 1), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value
