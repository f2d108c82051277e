"""What can be made of a segmentation, for topics, bags and files alike; one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2

from regseg_core.arrays import Image
from regseg_core.segmentation import Segmentation


@dataclass(frozen=True)
class Codec:
    """How an output is compressed."""

    #: As in sensor_msgs/CompressedImage.
    name: str
    #: Of cv2.imencode.
    settings: tuple[int, ...]

    def encode(self, pixels: Image) -> bytes:
        """H x W x 3 (RGB) or H x W uint8 -> the bytes of a file. Raises cv2.error."""
        given = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        return cv2.imencode(f".{self.name}", given, self.settings)[1].tobytes()


#: Lossless, as ids must be: JPEG would invent others.
PNG = Codec("png", (cv2.IMWRITE_PNG_COMPRESSION, 1))
JPEG = Codec("jpeg", (cv2.IMWRITE_JPEG_QUALITY, 90))


@dataclass(frozen=True)
class Output:
    """An image of the camera image's size."""

    #: As in sensor_msgs/Image.
    encoding: str
    #: H x W x 3 (rgb8) or H x W (mono8) uint8 of a segmentation, and the mask's weight in overlays.
    pixels: Callable[[Segmentation, float], Image | None]
    codec: Codec = PNG
    #: Whether a segmentation without confidence cannot give it.
    needs_confidence: bool = False


OUTPUTS = {
    "mask": Output("rgb8", lambda result, _: result.mask()),
    "label": Output("mono8", lambda result, _: result.labels),
    "confidence": Output("mono8", lambda result, _: result.confidence, needs_confidence=True),
    "overlay": Output("rgb8", lambda result, alpha: result.overlay(alpha), JPEG),
}
