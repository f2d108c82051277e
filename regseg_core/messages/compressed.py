"""CompressedImage message -> frame: JPEG and PNG, once their size is known to be bearable."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np

from regseg_core.arrays import Image
from regseg_core.encodings.bayer import BAYER
from regseg_core.errors import FrameError
from regseg_core.frame import Frame
from regseg_core.media import JPEG_START
from regseg_core.messages.uncompressed import HIGH_BYTES, of_high_bytes, shortened

_JPEG_END = b"\xff\xd9"
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"IEND"

#: All that a still picture is made of.
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", _PNG_END}

#: Markers of JPEG that begin a frame, which has the image's size, and those without a length.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = {0x00, 0x01, *range(0xD0, 0xDB)}


class CompressedMessage(Protocol):
    """What is read of a sensor_msgs/CompressedImage, whoever made it."""

    @property
    def format(self) -> str: ...
    @property
    def data(self) -> Any:
        """Bytes, or what gives its memory as such."""


def to_frame(message: CompressedMessage, max_pixels: int) -> Frame:
    """The decoded image as bgr8, bgra8 (with its alpha) or mono8; of 16 bits the high 8.

    The size is the camera's: a rotation in EXIF data is left alone. Raises FrameError for an image
    of more than `max_pixels`, without decoding it, for one that is truncated or cannot be decoded,
    and for anything but JPEG and PNG.
    """
    data = bytes(message.data)
    if "compressedDepth" in message.format:
        raise FrameError(
            f"format {shortened(message.format)} holds distances: give the topic of a colour camera"
        )
    if data.startswith(JPEG_START):
        height, width, file = _jpeg(data)
    elif data.startswith(_PNG):
        height, width, file = _png(data)
    else:
        raise FrameError(
            f"{len(data)} bytes of format {shortened(message.format)} are no JPEG or PNG image:"
            " set the camera's compression to one of these"
        )
    if height == 0 or width == 0:
        raise FrameError(f"the image is {width} x {height} pixels")
    if height * width > max_pixels:
        raise FrameError(
            f"the image is {width} x {height} pixels, more than {max_pixels / 1e6:g} megapixels:"
            " let the camera send smaller ones, or raise the node's max_megapixels"
        )
    pixels = None if file is None else _decoded(file)
    if pixels is None or pixels.shape[:2] != (height, width):
        raise FrameError(
            f"the image of {width} x {height} pixels in {len(data)} bytes is truncated or damaged"
        )
    return of_high_bytes(pixels, _encoding(pixels, message.format))


def _jpeg(data: bytes) -> tuple[int, int, bytes | None]:
    """Height, width, and what to decode: None where the end is missing.

    Raises FrameError where there is no size.
    """
    place = 2
    while data[place : place + 1] == b"\xff":
        marker = data[place + 1 : place + 2]
        if marker == b"\xff":  # filling
            place += 1
            continue
        if not marker or marker[0] in _JPEG_BARE:
            break
        if marker[0] in _JPEG_FRAMES:
            if place + 9 > len(data):
                break
            height, width = (
                _number(data[place + 5 : place + 7]),
                _number(data[place + 7 : place + 9]),
            )
            # OpenCV 4.6 decodes what there is of a truncated image. EXIF's thumbnail ends before.
            return height, width, data if data.rfind(_JPEG_END, place) > 0 else None
        place += 2 + _number(data[place + 2 : place + 4])
    raise _without_size(data)


def _png(data: bytes) -> tuple[int, int, bytes | None]:
    """As `_jpeg`.

    OpenCV 4.11 makes room for all that a chunk claims to hold, gigabytes for a message of 100
    bytes, and crashes on damaged animations: it gets nothing but whole chunks of a still picture.
    """
    if len(data) < 24:
        raise _without_size(data)
    place, name, kept = 8, b"", [data[:8]]
    while place < len(data) and name != _PNG_END:
        name = data[place + 4 : place + 8]
        end = place + 12 + _number(data[place : place + 4])
        if name in _PNG_CHUNKS:
            kept.append(data[place:end])
        place = end
    whole = name == _PNG_END and place <= len(data)
    return _number(data[20:24]), _number(data[16:20]), b"".join(kept) if whole else None


def _without_size(data: bytes) -> FrameError:
    return FrameError(f"the image in {len(data)} bytes is truncated or damaged: it has no size")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _decoded(data: bytes) -> Image | None:
    """H x W or H x W x 3 or 4 in OpenCV's order; None for what cannot be decoded."""
    try:
        # Unchanged: gray stays gray, alpha stays, and EXIF turns nothing.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None:
        return None
    if pixels.dtype == np.uint16:
        pixels = np.right_shift(pixels, 8)
    return pixels.astype(np.uint8, copy=False)


def _encoding(pixels: Image, format: str) -> str:
    """Of decoded pixels. `format` as image_transport writes it: `rgb8; jpeg compressed bgr8`."""
    raw, _, compressed = format.partition(";")
    if pixels.ndim == 2:
        raw = raw.strip()
        mosaic = HIGH_BYTES.get(raw, raw)
        # A PNG of Bayer holds the mosaic; as JPEG it was made gray before.
        return mosaic if mosaic in BAYER and "mono" not in compressed else "mono8"
    # Written in RGB order: red and blue are changed over in the file itself.
    order = "rgb" if "compressed rgb" in compressed else "bgr"
    return f"{order}8" if pixels.shape[2] == 3 else f"{order}a8"
