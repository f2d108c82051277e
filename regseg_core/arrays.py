"""The types of arrays that pass between the modules, and parts of pixels and label ids."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

#: uint8, H x W or H x W x C; each function says which.
Image = npt.NDArray[np.uint8]

#: float64 of any shape.
Doubles = npt.NDArray[np.float64]


def among(labels: npt.NDArray[np.integer[Any]], ids: Collection[int]) -> npt.NDArray[np.bool_]:
    """Whether each id, 0 to 255, is one of these; in the shape of `labels`."""
    table = np.zeros(256, np.bool_)
    table[list(ids)] = True
    found: npt.NDArray[np.bool_] = table[labels]
    return found


_Scalar = TypeVar("_Scalar", bound=np.generic)


def sampled(pixels: npt.NDArray[_Scalar], size: tuple[int, int] | None) -> npt.NDArray[_Scalar]:
    """H x W (x C) -> that width and height: of each new pixel the old one at its middle.

    The same memory where the size is the same, None, or a whole part of it.
    """
    height, width = pixels.shape[:2]
    if size is None or size == (width, height):
        return pixels
    new_width, new_height = size
    if width % new_width == 0 and height % new_height == 0:
        across, down = width // new_width, height // new_height
        return pixels[down // 2 :: down, across // 2 :: across]
    rows = ((np.arange(new_height) + 0.5) * height / new_height).astype(np.intp)
    columns = ((np.arange(new_width) + 0.5) * width / new_width).astype(np.intp)
    found: npt.NDArray[_Scalar] = pixels[rows[:, None], columns]
    return found
