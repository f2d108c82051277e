"""sensor_msgs/Image as it goes over DDS: pixels read where they lie, and written with one copy.

rclpy gives and takes bytes. With messages it would copy the pixels into C memory that it has filled
with zeros, and between that and an array. And a message that Fast DDS cannot deserialise stays in
its queue, where it may hold up all that come after it; bytes are just handed over.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from regseg_core.arrays import Image as Pixels
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import FrameError

#: CDR of version 1, little-endian: every middleware of ROS reads it.
_ENCAPSULATION = b"\x00\x01\x00\x00"

#: How struct calls the byte orders of version 1, by what begins a message.
_ORDERS = {b"\x00\x00": ">", b"\x00\x01": "<"}


@dataclass(frozen=True)
class ReceivedImage:
    """As sensor_msgs/Image; `data` is a view of the bytes that came."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def received_image(data: bytes) -> ReceivedImage | Image:
    """A serialised Image as it came; deserialised by ROS where it is of another form of CDR.

    Raises FrameError for what is cut off, or no Image at all.
    """
    try:
        if len(data) >= len(_ENCAPSULATION) and data[:2] not in _ORDERS:
            return deserialize_message(data, Image)
        return _Reader(data).image()
    except Exception as error:  # what deserialising raises, nobody says
        raise FrameError(f"{len(data)} bytes are no whole sensor_msgs/Image: {error}") from error


class _Reader:
    """Reads what CDR of version 1 holds, in turn. Raises struct.error where some is missing."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, len(_ENCAPSULATION)
        self._order = _ORDERS.get(data[:2], "<")

    def image(self) -> ReceivedImage:
        seconds, nanoseconds = self._numbers("iI")
        header = Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=self._text())
        height, width = self._numbers("II")
        encoding = self._text()
        (is_bigendian,) = self._bytes(1)
        (step,) = self._numbers("I")
        return ReceivedImage(
            header, height, width, encoding, is_bigendian, step, self._bytes(*self._numbers("I"))
        )

    def _numbers(self, kinds: str) -> tuple[int, ...]:
        """Of four bytes each."""
        self._place += -self._place % 4
        found = struct.unpack_from(self._order + kinds, self._data, self._place)
        self._place += 4 * len(kinds)
        return found

    def _text(self) -> str:
        """As rclpy reads it: up to the first NUL, with marks for what is no UTF-8."""
        text = bytes(self._bytes(*self._numbers("I")))
        return text.partition(b"\0")[0].decode(errors="replace")

    def _bytes(self, count: int) -> memoryview:
        start, self._place = self._place, self._place + count
        if self._place > len(self._data):
            raise struct.error(f"{count} bytes from {start} on are not there")
        return memoryview(self._data)[start : self._place]


def serialized_image(pixels: Pixels, encoding: str, header: Header) -> bytes:
    """Uint8 in the shape of an encoding of `ENCODINGS` -> a serialised Image with unpadded rows.

    Raises FrameError for another shape.
    """
    height, width = ENCODINGS[encoding].check(pixels)
    frame, name = (text.encode() + b"\0" for text in (header.frame_id, encoding))
    stamp = struct.pack("<iII", header.stamp.sec, header.stamp.nanosec, len(frame))
    start = _aligned(_ENCAPSULATION + stamp + frame)
    is_bigendian = b"\0"
    sizes = struct.pack("<III", height, width, len(name))
    start = _aligned(start + sizes + name + is_bigendian)
    lengths = struct.pack("<II", pixels[0].size, pixels.size)
    return b"".join((start, lengths, np.ascontiguousarray(pixels).data))


def _aligned(data: bytes) -> bytes:
    """Filled up to where a number of four bytes may begin."""
    return data + bytes(-len(data) % 4)
