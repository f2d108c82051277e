"""sensor_msgs/Image as it goes over DDS, written with one copy of the pixels.

rclpy takes bytes as they are. Of a message it would copy the pixels into an array, and that into C
memory that it has filled with zeros.
"""

from __future__ import annotations

import struct

import numpy as np
from std_msgs.msg import Header

from regseg_core.arrays import Image as Pixels
from regseg_core.encodings import ENCODINGS

#: CDR of version 1, little-endian: every middleware of ROS reads it.
_ENCAPSULATION = b"\x00\x01\x00\x00"


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
