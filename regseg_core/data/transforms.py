"""Random variation of a training image and its label (paper, section 4.1).

All act on an (H x W x 3 uint8 RGB image, H x W uint8 class indices) pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from regseg_core.arrays import Image
from regseg_core.data import operations
from regseg_core.labels import IGNORE_INDEX

Rng = np.random.Generator


@dataclass(frozen=True)
class RandomCrop:
    """Resizes the short side at random, then cuts or pads to `height` x `width`.

    The cut is at a random place, or around `centre` (row and column of the image) as far as the
    image reaches. Only what the cut shows is resized. Padding is `fill`, R, G and B of 0..255, and
    ignored.
    """

    height: int
    width: int
    short_side: tuple[int, int]
    fill: tuple[int, int, int]

    def __call__(
        self, image: Image, label: Image, rng: Rng, centre: tuple[int, int] | None = None
    ) -> tuple[Image, Image]:
        short = int(rng.integers(self.short_side[0], self.short_side[1] + 1))
        scale = short / min(image.shape[:2])
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        rows, columns = (
            _Cut.sample(have, want, scale, rng, None if centre is None else centre[axis])
            for axis, (have, want) in enumerate(
                zip(image.shape[:2], (self.height, self.width), strict=True)
            )
        )
        size = (columns.resized, rows.resized)
        source = (rows.source, columns.source)
        shown = (rows.shown, columns.shown)

        def placed(pixels: Image, method: int, fill: tuple[int, ...]) -> Image:
            resized = cv2.resize(pixels[source], size, interpolation=method)[shown]
            margins = (*rows.margins, *columns.margins)
            padded = cv2.copyMakeBorder(resized, *margins, cv2.BORDER_CONSTANT, value=fill)
            return padded.astype(np.uint8, copy=False)

        # Exact: plain INTER_NEAREST puts labels up to half a pixel beside the image.
        exact = cv2.INTER_NEAREST_EXACT
        return placed(image, smooth, self.fill), placed(label, exact, (IGNORE_INDEX,))


@dataclass(frozen=True)
class _Cut:
    """A crop along one axis: `source` pixels become `resized`, of which `shown` are shown.

    `margins` before and after them are padding.
    """

    source: slice
    resized: int
    shown: slice
    margins: tuple[int, int] = (0, 0)

    @classmethod
    def sample(cls, have: int, want: int, scale: float, rng: Rng, centre: int | None) -> _Cut:
        whole = max(1, round(have * scale))
        if whole <= want:
            start = int(rng.integers(0, want - whole + 1))
            return cls(slice(0, have), whole, slice(0, whole), (start, want - whole - start))
        if centre is None:
            start = int(rng.integers(0, whole - want + 1))
        else:
            start = int(np.clip(round(centre * scale - want / 2), 0, whole - want))
        exact = whole / have
        first, last = int(start / exact), min(have, math.ceil((start + want) / exact))
        resized = max(want, round((last - first) * exact))
        offset = min(round(start - first * exact), resized - want)
        return cls(slice(first, last), resized, slice(offset, offset + want))


def random_flip(image: Image, label: Image, rng: Rng) -> tuple[Image, Image]:
    """Left to right, half of the time."""
    if rng.random() < 0.5:
        image, label = (
            cv2.flip(pixels, 1).astype(np.uint8, copy=False) for pixels in (image, label)
        )
    return image, label


#: Of `strength`, the spread of a channel's balance; and the greatest standard deviation of noise.
_BALANCE, _NOISE = 0.06, 6.0


def random_light(image: Image, rng: Rng, strength: float) -> Image:
    """Another exposure, contrast and white balance, as other hours, weather and cameras have.

    Each channel, from 0 to 1, becomes gain / 2 x (2 x channel) ^ gamma. The natural logarithms of
    gain and gamma are up to `strength` either way. Half of the images get a sensor's noise.
    """
    gamma, gain = np.exp(rng.uniform(-strength, strength, 2))
    balance = np.exp(strength * _BALANCE * rng.standard_normal(3))
    levels = np.linspace(0, 1, 256)[:, None]
    lit = operations.look_up(image, 255 * gain * balance / 2 * (2 * levels) ** gamma)
    if rng.random() < 0.5:
        grain = rng.standard_normal((*lit.shape[:2], 1), np.float32)
        noisy = lit + grain * np.float32(_NOISE * strength * rng.random())
        lit = np.clip(noisy, 0, 255).astype(np.uint8)
    return lit


_ROTATE_DEGREES = 30

#: Each takes an image and how strong to be, from -1 to 1.
_COLOR_OPERATIONS: tuple[Callable[[Image, float], Image], ...] = (
    lambda image, _: operations.autocontrast(image),
    lambda image, _: operations.equalize(image),
    lambda image, level: operations.color(image, 1 + 0.9 * level),
    lambda image, level: operations.contrast(image, 1 + 0.9 * level),
    lambda image, level: operations.brightness(image, 1 + 0.9 * level),
    lambda image, level: operations.sharpness(image, 1 + 0.9 * level),
)


def random_augment(
    image: Image,
    label: Image,
    rng: Rng,
    fill: tuple[int, int, int],
    count: int = 2,
    magnitude: float = 0.2,
) -> tuple[Image, Image]:
    """The reduced random augmentation: `count` of seven operations, each in a random direction.

    Rotation moves the label along by nearest neighbour; what it uncovers is `fill`, and ignored.
    """
    for choice in rng.permutation(len(_COLOR_OPERATIONS) + 1)[:count]:
        level = magnitude if rng.random() < 0.5 else -magnitude
        if choice < len(_COLOR_OPERATIONS):
            image = _COLOR_OPERATIONS[choice](image, level)
        else:
            degrees = level * _ROTATE_DEGREES
            image = operations.rotate(image, degrees, fill, smooth=True)
            label = operations.rotate(label, degrees, (IGNORE_INDEX,), smooth=False)
    return image, label
