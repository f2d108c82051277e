"""The picture operations of random augmentation, as Pillow defines them, in OpenCV's speed.

Each takes H x W x 3 uint8 RGB and returns the same; `factor` 1 changes nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Image

_LEVELS = np.arange(256, dtype=np.float32)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def autocontrast(image: Image) -> Image:
    """Stretches each channel from its least and greatest value to 0 and 255."""
    tables = []
    for histogram in _histograms(image):
        present = np.flatnonzero(histogram)
        low, high = int(present[0]), int(present[-1])
        scale = 255 / (high - low) if high > low else 1.0
        tables.append((_LEVELS - low) * scale if high > low else _LEVELS)
    return look_up(image, np.stack(tables, axis=1))


def equalize(image: Image) -> Image:
    """Gives each channel about as many pixels of each value."""
    tables = []
    for histogram in _histograms(image):
        last = np.flatnonzero(histogram)[-1]
        step = (int(histogram.sum()) - int(histogram[last])) // 255
        before = np.concatenate([[0], np.cumsum(histogram)[:-1]])
        tables.append((step // 2 + before) // step if step else _LEVELS)
    return look_up(image, np.stack(tables, axis=1))


def brightness(image: Image, factor: float) -> Image:
    """Away from black."""
    return look_up(image, _LEVELS * factor)


def contrast(image: Image, factor: float) -> Image:
    """Away from the grey of the mean."""
    mean = round(float(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]))
    return look_up(image, mean + (_LEVELS - mean) * factor)


def color(image: Image, factor: float) -> Image:
    """Away from the grey picture."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return _blend(grey.astype(np.uint8, copy=False), image, factor)


def sharpness(image: Image, factor: float) -> Image:
    """Away from the smoothed picture, whose outermost pixels stay as they are."""
    smooth = cv2.filter2D(image, -1, _SMOOTH).astype(np.uint8, copy=False)
    smooth[[0, -1]], smooth[:, [0, -1]] = image[[0, -1]], image[:, [0, -1]]
    return _blend(smooth, image, factor)


def rotate(image: Image, degrees: float, fill: tuple[int, ...], smooth: bool) -> Image:
    """Turns an image (or H x W labels) about its middle; `fill` is what comes into view."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    method = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    turned = cv2.warpAffine(image, turn, (width, height), flags=method, borderValue=fill)
    return turned.astype(np.uint8, copy=False)


def look_up(image: Image, table: npt.NDArray[np.number]) -> Image:
    """What the table has for each value: 256 of all channels, or 256 x 3, for each its own."""
    rounded = np.clip(table, 0, 255).astype(np.uint8).reshape(256, 1, -1)
    return cv2.LUT(image, rounded).astype(np.uint8, copy=False)


def _histograms(image: Image) -> list[npt.NDArray[np.int64]]:
    return [
        cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
        for channel in range(3)
    ]


def _blend(away_from: Image, image: Image, factor: float) -> Image:
    return cv2.addWeighted(image, factor, away_from, 1 - factor, 0).astype(np.uint8, copy=False)
