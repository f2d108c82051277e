"""How far away everything on the street is."""

from __future__ import annotations

import cv2
import numpy as np

from regseg_core.data.synthetic.painter import CAMERA_HEIGHT, CUT, Painter, Points, pixels
from regseg_core.data.synthetic.plan import Color, StreetPlan, Thing
from regseg_core.geometry.camera_model import Floats


class DepthPainter(Painter):
    """Paints `depth` as well: H x W float32, metres along the optical axis; infinity in the sky.

    What is painted lies on the surface whose corners were asked for last.
    """

    def __init__(self, plan: StreetPlan, width: int, height: int) -> None:
        super().__init__(plan, width, height)
        self.depth: Floats = np.full((height, width), np.inf, np.float32)
        self._surface = self.depth.copy()

    def upright(
        self, x: float, z: float, left: float, right: float, low: float, top: float
    ) -> Points:
        """The corners of a rectangle that faces the camera."""
        self._surface[:] = z
        return super().upright(x, z, left, right, low, top)

    def strip(self, left: float, right: float, near: float, far: float) -> Points:
        """The corners of a strip of ground."""
        below = np.maximum(np.arange(self.height) - self.horizon, 1e-3)
        depth = np.clip(CAMERA_HEIGHT * self.focal / below, near, far)
        self._surface[:] = depth[:, None]
        return super().strip(left, right, near, far)

    def wall(self, x: float, near: float, far: float, low: float, top: float) -> Points:
        """The corners of a rectangle along the street."""
        beside = (np.arange(self.width) - self.width / 2) * np.sign(x)
        self._surface[:] = np.clip(abs(x) * self.focal / np.maximum(beside, 1e-3), near, far)
        return super().wall(x, near, far, low, top)

    def paint(self, thing: Thing, z: float) -> None:
        """A thing whose near end is `z` metres ahead: it faces the camera there."""
        self._surface[:] = max(z, CUT)
        super().paint(thing, z)

    def fill(self, points: Points, name: str, color: Color) -> None:
        """A surface of a class."""
        super().fill(points, name, color)
        inside = np.zeros(self.depth.shape, np.uint8)
        cv2.fillPoly(inside, [pixels(points)], (1,))
        np.copyto(self.depth, self._surface, where=inside.astype(bool))
