"""What can be made of a segmentation, for topics, bags and files alike; one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2

from regseg_core.arrays import Image, sampled
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


#: Lossless, as ids must be: JPEG would invent others. What OpenCV does unasked, runs of equal
#: bytes, suits labels: three times as fast as its lowest level of compression, and as small.
PNG = Codec("png", ())
JPEG = Codec("jpeg", (cv2.IMWRITE_JPEG_QUALITY, 90))


@dataclass(frozen=True)
class Style:
    """What outputs look like."""

    #: Weight of the mask in overlays, 0 to 1.
    overlay_alpha: float = 0.5
    #: Width and height of the small outputs; None: the camera image's.
    small_size: tuple[int, int] | None = None

    def small(self, pixels: Image | None) -> Image | None:
        """H x W uint8, every small pixel the one that lies at its middle."""
        return pixels if pixels is None else sampled(pixels, self.small_size)


@dataclass(frozen=True)
class Output:
    """An image."""

    #: As in sensor_msgs/Image.
    encoding: str
    #: H x W x 3 (rgb8) or H x W (mono8) uint8. Raises ArgumentError where it needs groups.
    pixels: Callable[[Segmentation, Style], Image | None]
    codec: Codec = PNG
    #: Whether a segmentation without confidence cannot give it.
    needs_confidence: bool = False
    #: Whether one that does not know what its classes mean cannot.
    needs_groups: bool = False

    def compressed_format(self, pixels: Image) -> str:
        """`format` of a sensor_msgs/CompressedImage of these pixels, as image_transport has it."""
        stored = "bgr8" if pixels.ndim == 3 else self.encoding
        return f"{self.encoding}; {self.codec.name} compressed {stored}"


OUTPUTS = {
    "mask": Output("rgb8", lambda result, _: result.mask()),
    "label": Output("mono8", lambda result, _: result.labels),
    "confidence": Output("mono8", lambda result, _: result.confidence, needs_confidence=True),
    "overlay": Output("rgb8", lambda result, style: result.overlay(style.overlay_alpha), JPEG),
    "cost": Output("mono8", lambda result, _: result.cost(), needs_groups=True),
    "label_small": Output("mono8", lambda result, style: style.small(result.labels)),
    "confidence_small": Output(
        "mono8", lambda result, style: style.small(result.confidence), needs_confidence=True
    ),
}
