"""Shapes that people draw -> class indices: which pixels they cover, and which lies on top."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from regseg_core.annotation.runs import Mask
from regseg_core.arrays import Image
from regseg_core.labels import IGNORE_INDEX

#: N x 2 float64: x and y, in pixels from the image's upper left corner.
Points = npt.NDArray[np.float64]

#: Corners of the polygon that stands for an ellipse: it is off by a thousandth of the radius.
_ELLIPSE_CORNERS = 72


class Canvas:
    """H x W pixels without a class, to be painted."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        #: H x W uint8 class indices, 255 where nothing was painted.
        self.labels: Image = np.full(shape, IGNORE_INDEX, np.uint8)
        # Kept for each pixel, so that shapes need not be kept to be sorted.
        self._depth = np.full(shape, np.iinfo(np.int32).min, np.int32)

    def paint(self, index: int, mask: Mask, top: int = 0, left: int = 0, z_order: int = 0) -> None:
        """Gives a class to a mask's pixels; its first pixel lies at `top`, `left`.

        What has a higher `z_order` (int32) lies on top, and of equals what was painted last.
        """
        place = np.s_[top : top + mask.shape[0], left : left + mask.shape[1]]
        seen = mask & (self._depth[place] <= z_order)
        self.labels[place][seen] = index
        self._depth[place][seen] = z_order


def polygon(corners: Points, shape: tuple[int, int]) -> Mask:
    """H x W: the pixels whose middle lies in a polygon, by the even-odd rule.

    Polygons that share an edge share no pixel and leave none out; OpenCV's `fillPoly` paints the
    pixels under an edge too, so that they grow by up to one.
    """
    height, width = shape
    crossed: Mask = np.zeros((height, width + 1), np.bool_)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        first, end = sorted((_from_middle(y0, height), _from_middle(y1, height)))
        rows = np.arange(first, end)
        if rows.size:
            x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)
            crossed[rows, columns] ^= True
    inside: Mask = np.logical_xor.accumulate(crossed, axis=1)[:, :width]
    return inside


def box(left: float, top: float, right: float, bottom: float, rotation: float) -> Points:
    """A rectangle's corners, turned clockwise by `rotation` degrees about its middle."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    return _turned(corners, rotation)


def ellipse(x: float, y: float, across: float, down: float, rotation: float) -> Points:
    """An ellipse as a polygon: its middle, its radii, and its turn clockwise in degrees."""
    angle = np.arange(_ELLIPSE_CORNERS) * (2 * math.pi / _ELLIPSE_CORNERS)
    around = np.stack((x + across * np.cos(angle), y + down * np.sin(angle)), axis=1)
    return _turned(around, rotation)


def _from_middle(y: float, height: int) -> int:
    """The first row whose middle does not lie above `y`."""
    return math.ceil(min(max(y - 0.5, 0), height))


def _turned(points: Points, degrees: float) -> Points:
    if degrees == 0:
        return points  # exactly as they are
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    # y points down, so that this turns clockwise.
    turned: Points = (points - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle
    return turned
