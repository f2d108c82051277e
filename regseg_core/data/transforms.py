"""Random variation of a training image and its label (paper, section 4.1).

All act on an (H x W x 3 uint8 RGB image, H x W uint8 class indices) pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PILImage
from PIL import ImageEnhance, ImageOps

from regseg_core.arrays import Image
from regseg_core.labels import IGNORE_INDEX
from regseg_core.model import IMAGENET_MEAN

Rng = np.random.Generator

#: Padding that the normalisation turns into zeros.
MEAN_COLOR = tuple(int(255 * m) for m in IMAGENET_MEAN)


@dataclass(frozen=True)
class RandomCrop:
    """Resizes the short side at random, then cuts or pads to `height` x `width`.

    The cut is at a random place, or around `centre` (row and column of the image) as far as the
    image reaches. Only what the cut shows is resized.
    """

    height: int
    width: int
    short_side: tuple[int, int]

    def __call__(
        self, image: Image, label: Image, rng: Rng, centre: tuple[int, int] | None = None
    ) -> tuple[Image, Image]:
        short = int(rng.integers(self.short_side[0], self.short_side[1] + 1))
        scale = short / min(image.shape[:2])
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        rows, columns = (
            _Cut.draw(have, want, scale, rng, None if centre is None else centre[axis])
            for axis, (have, want) in enumerate(
                zip(image.shape[:2], (self.height, self.width), strict=True)
            )
        )
        size = (columns.resized, rows.resized)
        source = (rows.source, columns.source)
        shown = (rows.shown, columns.shown)
        out = np.empty((self.height, self.width, 3), np.uint8)
        out[:] = MEAN_COLOR
        out_label = np.full((self.height, self.width), IGNORE_INDEX, np.uint8)
        filled = (rows.filled, columns.filled)
        out[filled] = cv2.resize(image[source], size, interpolation=smooth)[shown]
        out_label[filled] = cv2.resize(label[source], size, interpolation=cv2.INTER_NEAREST)[shown]
        return out, out_label


@dataclass(frozen=True)
class _Cut:
    """A crop along one axis: `source` pixels become `resized`, of which `shown` are `filled` in."""

    source: slice
    resized: int
    shown: slice
    filled: slice

    @classmethod
    def draw(cls, have: int, want: int, scale: float, rng: Rng, centre: int | None) -> _Cut:
        whole = max(1, round(have * scale))
        if whole <= want:
            start = int(rng.integers(0, want - whole + 1))
            return cls(slice(0, have), whole, slice(0, whole), slice(start, start + whole))
        if centre is None:
            start = int(rng.integers(0, whole - want + 1))
        else:
            start = int(np.clip(round(centre * scale - want / 2), 0, whole - want))
        exact = whole / have
        first, last = int(start / exact), min(have, math.ceil((start + want) / exact))
        resized = max(want, round((last - first) * exact))
        offset = min(round(start - first * exact), resized - want)
        return cls(slice(first, last), resized, slice(offset, offset + want), slice(0, want))


def random_flip(image: Image, label: Image, rng: Rng) -> tuple[Image, Image]:
    """Left to right, half of the time."""
    if rng.random() < 0.5:
        return image[:, ::-1], label[:, ::-1]
    return image, label


_Operation = Callable[[PILImage.Image, float], PILImage.Image]


def _enhance(enhancer: Callable[[PILImage.Image], ImageEnhance._Enhance]) -> _Operation:
    return lambda image, level: enhancer(image).enhance(1 + 0.9 * level)


_ROTATE_DEGREES = 30

_COLOR_OPERATIONS: tuple[_Operation, ...] = (
    lambda image, _: ImageOps.autocontrast(image),
    lambda image, _: ImageOps.equalize(image),
    _enhance(ImageEnhance.Color),
    _enhance(ImageEnhance.Contrast),
    _enhance(ImageEnhance.Brightness),
    _enhance(ImageEnhance.Sharpness),
)


def random_augment(
    image: Image, label: Image, rng: Rng, operations: int = 2, magnitude: float = 0.2
) -> tuple[Image, Image]:
    """The reduced random augmentation: different operations of seven, each in a random direction.

    Rotation moves the label along by nearest neighbour and uncovers ignored pixels.
    """
    picture = PILImage.fromarray(np.ascontiguousarray(image))
    for choice in rng.permutation(len(_COLOR_OPERATIONS) + 1)[:operations]:
        level = magnitude if rng.random() < 0.5 else -magnitude
        if choice < len(_COLOR_OPERATIONS):
            picture = _COLOR_OPERATIONS[choice](picture, level)
            continue
        degrees = level * _ROTATE_DEGREES
        picture = picture.rotate(degrees, PILImage.Resampling.BILINEAR, fillcolor=MEAN_COLOR)
        turned = PILImage.fromarray(np.ascontiguousarray(label)).rotate(
            degrees, PILImage.Resampling.NEAREST, fillcolor=IGNORE_INDEX
        )
        label = np.asarray(turned)
    return np.asarray(picture), label
