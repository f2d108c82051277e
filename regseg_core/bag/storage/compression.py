"""Compressed bytes of unknown origin -> bytes, never more of them than allowed."""

from __future__ import annotations

import shutil
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from regseg_core.bag.storage.file import StorageError

#: More than any message has: an image of 8192 x 8192 pixels and 16 bits a colour is 403 MB.
#: Recorders close a chunk at some megabytes, or after one message that is longer.
MOST_BYTES = 512 << 20

#: So much of a disk stays free when a file is decompressed onto it.
_FREE_BYTES = 1 << 30

_STEP = 1 << 20

#: A serialized message begins with 0.
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def expanded(data: bytes, compression: str, most: int) -> bytes:
    """The first `most` + 1 bytes at most; what there is of them where the data are cut off.

    Compression as mcap names it. Raises StorageError where it is unknown or the data are damaged.
    """
    try:
        if compression == "zstd":
            source = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
            return source.read(most + 1)
        if compression == "lz4":
            result = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=most + 1)
            return bytes(result)
    except (zstandard.ZstdError, RuntimeError, MemoryError) as error:
        raise StorageError(f"its {compression} data are damaged ({error})") from error
    if compression:
        raise StorageError(f"its compression {compression!a} is not zstd or lz4")
    return data[: most + 1]


def plain(data: bytes) -> bytes:
    """A message as it was sent: undoes rosbag2's compression by message.

    Raises StorageError where it is damaged or longer than `MOST_BYTES`.
    """
    if not data.startswith(_ZSTD_MAGIC):
        return data
    try:
        size = zstandard.frame_content_size(data)  # -1: not said
    except zstandard.ZstdError as error:
        raise StorageError("its zstd data are cut off") from error
    if size <= MOST_BYTES:
        message = expanded(data, "zstd", MOST_BYTES if size < 0 else size)
        if len(message) <= MOST_BYTES and size in (-1, len(message)):
            return message
        if len(message) < size:
            raise StorageError("its zstd data are cut off")
    raise StorageError(f"it claims to have more than {MOST_BYTES >> 20} MiB")


def expand_file(source: Path, target: Path) -> str | None:
    """Undoes rosbag2's compression by file, zstd, onto the disk.

    What is damaged about it, in words; the target then holds what comes before. Raises StorageError
    where the disk has no room, and OSError.
    """
    with source.open("rb") as file, target.open("wb") as result:
        pieces = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        try:
            while piece := pieces.read(_STEP):
                if shutil.disk_usage(target.parent).free < _FREE_BYTES:
                    result.truncate(0)
                    raise StorageError(
                        f"{target.parent} has no room to decompress it: set TMPDIR to a larger disk"
                    )
                result.write(piece)
        except zstandard.ZstdError as error:
            return f"its zstd data are damaged ({error})"
    return None
