"""What can be made of a segmentation, for topics, bags and files alike; one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from regseg_core.arrays import Image
from regseg_core.segmenter import Segmentation


@dataclass(frozen=True)
class Output:
    """An image of the camera image's size."""

    #: As in sensor_msgs/Image.
    encoding: str
    #: H x W x 3 (rgb8) or H x W (mono8) uint8 of a segmentation, and the mask's weight in overlays.
    pixels: Callable[[Segmentation, float], Image | None]
    #: Whether a segmentation without confidence cannot give it.
    needs_confidence: bool = False


OUTPUTS = {
    "mask": Output("rgb8", lambda result, _: result.mask()),
    "label": Output("mono8", lambda result, _: result.labels),
    "confidence": Output("mono8", lambda result, _: result.confidence, needs_confidence=True),
    "overlay": Output("rgb8", lambda result, alpha: result.overlay(alpha)),
}
