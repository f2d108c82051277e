"""Image message -> frame: without copying where the graph takes it, refused where it is wrong."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from regseg_core.arrays import Image
from regseg_core.encodings import ENCODINGS
from regseg_core.encodings.bayer import BAYER, demosaic
from regseg_core.errors import FrameError
from regseg_core.frame import Frame

#: Encodings of 16 bits, and those that their high bytes are in. Values fill the 16 bits.
HIGH_BYTES = {
    "mono16": "mono8",
    "16UC1": "mono8",
    **{f"{order}16": f"{order}8" for order in ("rgb", "bgr", "rgba", "bgra")},
    **{name.replace("8", "16"): name for name in BAYER},
}

#: Of drivers that let one choose.
DRIVER_PARAMETERS = (
    "usb_cam's pixel_format, v4l2_camera's output_encoding, realsense2_camera's"
    " rgb_camera.color_format"
)

#: So much of a text from outside is shown.
_SHOWN = 40


class ImageMessage(Protocol):
    """What is read of a sensor_msgs/Image, whoever made it."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def encoding(self) -> str: ...
    @property
    def is_bigendian(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def data(self) -> Any:
        """Bytes, or what gives its memory as such."""


def to_frame(message: ImageMessage) -> Frame:
    """A view of the message's bytes for the encodings of the graph, bgr8 and mono8 for others.

    Raises FrameError for a size of zero or one that the encoding cannot have, rows or data that are
    too short, and an unknown encoding. Data that are longer than they need be are taken.
    """
    if message.width == 0 or message.height == 0:
        raise FrameError(f"the image is {message.width} x {message.height} pixels")
    name = HIGH_BYTES.get(message.encoding, message.encoding)
    encoding = ENCODINGS.get("mono8" if name in BAYER else name)
    if encoding is None:
        raise FrameError(
            f"encoding {shortened(message.encoding)} is none of {', '.join(ENCODINGS)},"
            f" {', '.join(BAYER)}, {', '.join(HIGH_BYTES)}: set the camera driver to one of them"
            f" ({DRIVER_PARAMETERS})"
        )
    if reason := encoding.refusal(message.height, message.width):
        raise FrameError(reason)
    rows, *row = encoding.shape(message.height, message.width)
    if name == message.encoding:
        data = _rows(message, rows, math.prod(row))
        pixels = encoding.unpadded(data, message.height, message.width)
    else:
        data = _rows(message, rows, math.prod(row) * 2)[:, 0 if message.is_bigendian else 1 :: 2]
        pixels = encoding.unpadded(data, message.height, message.width).copy()
    return of_high_bytes(pixels, name)


def of_high_bytes(pixels: Image, encoding: str) -> Frame:
    """Uint8 in an encoding of `ENCODINGS` or `BAYER` -> a frame. Raises FrameError."""
    if encoding in BAYER:
        return Frame.of(demosaic(pixels, encoding), "bgr8")
    return Frame.of(pixels, encoding)


def shortened(text: str) -> str:
    """A text from outside as a log can show it: in quotes, in one line, never long."""
    quoted = ascii(text[: _SHOWN + 1])
    return quoted if len(quoted) <= _SHOWN + 2 else f"{quoted[:_SHOWN]}...'"


def _rows(message: ImageMessage, rows: int, row: int) -> Image:
    """So many rows of `step` bytes, a view of the message's own memory; `row`: the bytes needed."""
    if message.step < row:
        raise FrameError(
            f"step {message.step} is shorter than a row of {message.width} {message.encoding}"
            f" pixels, {row} bytes"
        )
    if len(message.data) < message.step * rows:
        raise FrameError(
            f"{len(message.data)} bytes of data are fewer than step x rows ="
            f" {message.step} x {rows} of {message.height} x {message.width} {message.encoding}"
            " pixels"
        )
    data = np.frombuffer(message.data, np.uint8, message.step * rows)
    return data.reshape(rows, message.step)
