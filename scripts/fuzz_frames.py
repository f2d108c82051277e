#!/usr/bin/env python3
"""Feeds messages of any content to what makes frames of them: CONTRIBUTING, "Fuzzing"."""

from __future__ import annotations

import array
import sys

import atheris

with atheris.instrument_imports(include=["regseg_core", "regseg_ros"]):
    from regseg_core.encodings import ENCODINGS
    from regseg_core.encodings.bayer import BAYER
    from regseg_core.errors import FrameError
    from regseg_core.messages import compressed, uncompressed

from sensor_msgs.msg import CompressedImage, Image

NAMES = [*ENCODINGS, *BAYER, *uncompressed.HIGH_BYTES]
FORMATS = ["jpeg", "rgb8; jpeg compressed bgr8", "rgb8; png compressed rgb8"]
FORMATS += [f"{name}; png compressed " for name in NAMES]
LARGE = [255, 256, 65_535, 70_000, 2**31, 2**32 - 1]
LIMIT = 100_000


def text(known: list[str], number: int, data: bytes) -> str:
    return known[number] if number < len(known) else data[:number].decode(errors="surrogateescape")


def size(number: int) -> int:
    return number if number < 250 else LARGE[number - 250]


def one(data: bytes) -> None:
    """Six bytes say what the message says of itself; the others are its data."""
    if len(data) < 6:
        return
    (kind, name, height, width, step, order), data = data[:6], data[6:]
    raw = kind % 2 == 0
    try:
        if raw:
            message = Image(height=size(height), width=size(width), step=size(step))
            message.encoding, message.is_bigendian = text(NAMES, name, data), order
            message.data = array.array("B", data)
            frame = uncompressed.to_frame(message)
            assert (frame.height, frame.width) == (message.height, message.width)
        else:
            file = CompressedImage(format=text(FORMATS, name, data), data=array.array("B", data))
            frame = compressed.to_frame(file, LIMIT)
    except FrameError as error:
        assert len(str(error)) < 700 and str(error).isascii(), error
        return
    assert frame.rgb().shape == (frame.height, frame.width, 3)
    assert frame.pixels.nbytes <= (3 * len(data) if raw else 4 * LIMIT)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
