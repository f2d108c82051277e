"""Random variation of a training image and its label (paper, section 4.1).

All act on an (H x W x 3 uint8 RGB image, H x W uint8 class indices) pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
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
    """Resizes the short side at random, then cuts or pads to `height` x `width` at random."""

    height: int
    width: int
    short_side: tuple[int, int]

    def __call__(self, image: Image, label: Image, rng: Rng) -> tuple[Image, Image]:
        short = int(rng.integers(self.short_side[0], self.short_side[1] + 1))
        scale = short / min(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = _uint8(cv2.resize(image, size, interpolation=smooth))
        label = _uint8(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST))
        to_rows, rows = _window(size[1], self.height, rng)
        to_columns, columns = _window(size[0], self.width, rng)
        out = np.empty((self.height, self.width, 3), np.uint8)
        out[:] = MEAN_COLOR
        out_label = np.full((self.height, self.width), IGNORE_INDEX, np.uint8)
        out[to_rows, to_columns] = image[rows, columns]
        out_label[to_rows, to_columns] = label[rows, columns]
        return out, out_label


def _window(have: int, want: int, rng: Rng) -> tuple[slice, slice]:
    """Where along one axis the result is filled, and with which part of the source."""
    start = int(rng.integers(0, abs(have - want) + 1))
    if have >= want:
        return slice(0, want), slice(start, start + want)
    return slice(start, start + have), slice(0, have)


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


def _uint8(array: npt.NDArray[np.integer | np.floating]) -> Image:
    return array.astype(np.uint8, copy=False)
