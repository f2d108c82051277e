"""A calibrated camera: which ray each pixel looks along, and which pixel sees a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Doubles
from regseg_core.errors import RegSegError

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]

#: How many coefficients each of sensor_msgs/CameraInfo's models may have, as OpenCV takes them.
_COEFFICIENTS = {
    "": (0,),
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (0, 8, 12, 14),
    "equidistant": (0, 4),
}
#: Other names of the same.
_ALIASES = {"fisheye": "equidistant", "pinhole": "plumb_bob", "none": ""}


class CalibrationError(RegSegError, ValueError):
    """A calibration that cannot be meant, with what is wrong in it."""


@dataclass(frozen=True)
class CameraModel:
    """A pinhole camera with lens distortion, in the optical frame: x right, y down, z ahead.

    Lengths are pixels of an image of `width` x `height`: `fx` and `fy` the focal lengths, `cx` and
    `cy` the principal point. `distortion`: OpenCV's coefficients of `model`, one of plumb_bob,
    rational_polynomial and equidistant (fisheye). Raises CalibrationError.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    model: str = "plumb_bob"
    distortion: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not np.isfinite(numbers).all():
            raise CalibrationError("the calibration holds NaN or infinity: calibrate the camera")
        if self.width < 1 or self.height < 1:
            raise CalibrationError(f"the calibration is for {self.width} x {self.height} pixels")
        if self.fx <= 0 or self.fy <= 0:
            raise CalibrationError(
                f"focal lengths are {self.fx:g} and {self.fy:g}: the camera is not calibrated"
            )
        name = _ALIASES.get(self.model, self.model)
        if name not in _COEFFICIENTS:
            known = ", ".join(filter(None, _COEFFICIENTS))
            raise CalibrationError(f"distortion model {self.model!r}: known are {known}")
        if len(self.distortion) not in _COEFFICIENTS[name]:
            raise CalibrationError(f"{self.model} has {len(self.distortion)} coefficients")
        object.__setattr__(self, "model", name)
        if not any(self.distortion):
            object.__setattr__(self, "distortion", ())

    def scaled(self, width: int, height: int) -> CameraModel:
        """The same camera, its image resized to that size."""
        across, down = width / self.width, height / self.height
        # Pixel centres are whole numbers, so the image's corner lies at -0.5.
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * across,
            fy=self.fy * down,
            cx=(self.cx + 0.5) * across - 0.5,
            cy=(self.cy + 0.5) * down - 0.5,
        )

    @property
    def matrix(self) -> Doubles:
        """3 x 3, OpenCV's camera matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    @cached_property
    def rays(self) -> Floats:
        """2 x H x W float32: x / z and y / z of what each pixel sees, NaN where no ray is known."""
        columns, rows = np.arange(self.width), np.arange(self.height)
        if self._is_plain:
            x, y = (columns - self.cx) / self.fx, (rows - self.cy) / self.fy
            grid = np.broadcast_arrays(x[None, :], y[:, None])
            return np.stack(grid).astype(np.float32)
        pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 1, 2).astype(np.float64)
        undistort = cv2.fisheye.undistortPoints if self._is_fisheye else cv2.undistortPoints
        found = undistort(pixels, self.matrix, self._coefficients)
        rays = found.reshape(self.height, self.width, 2)
        # A pixel whose ray does not lead back to it lies beyond what the polynomial describes.
        back = self.project(np.dstack([rays, np.ones(rays.shape[:2])]))
        off = np.abs(back - pixels.reshape(-1, 2)).max(axis=1).reshape(rays.shape[:2])
        rays[~(off < 1.0)] = np.nan
        return np.moveaxis(rays, -1, 0).astype(np.float32)

    def project(self, points: Sequence[Sequence[float]] | Doubles | Floats) -> Doubles:
        """N x 3 metres in the optical frame -> N x 2 columns and rows.

        NaN behind the camera, and where the distortion is not defined. Beside the image numbers go
        on.
        """
        given = np.asarray(points, np.float64).reshape(-1, 3)
        x, y, z = given.T
        seen = (z > 1e-6) & np.isfinite(x) & np.isfinite(y) & (z < np.inf)
        if np.isfinite(self._reach):
            seen &= np.hypot(x, y) < self._reach * z
        found = np.full((len(given), 2), np.nan)
        if seen.any():
            found[seen] = self._pixels(given[seen])
        return found

    def pixels(self, points: Sequence[Sequence[float]] | Doubles | Floats) -> Indices:
        """N x 3 metres in the optical frame -> N x 2, the nearest column and row; -1 outside."""
        given = np.asarray(points, np.float64).reshape(-1, 3)
        x, y, z = given.T
        # Most of what a lidar sees is seen by no pixel, and projecting costs most.
        (left, top), (right, low) = self._extent
        with np.errstate(invalid="ignore"):
            before = (z > 0) & (x > left * z) & (x < right * z) & (y > top * z) & (y < low * z)
        candidates = np.flatnonzero(before)
        nearest = np.rint(self.project(given[candidates]))
        column, row = nearest.T
        inside = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        found = np.full((len(given), 2), -1, np.int32)
        found[candidates[inside]] = nearest[inside]
        return found

    @cached_property
    def _extent(self) -> tuple[Doubles, Doubles]:
        """The least and the greatest x / z and y / z that are seen, and a pixel beside them."""
        rays = self.rays.astype(np.float64)
        steps = np.diff(rays[0], axis=1), np.diff(rays[1], axis=0)
        beside = [
            np.fmax.reduce(np.abs(step), axis=None, initial=1 / focal)
            for step, focal in zip(steps, (self.fx, self.fy), strict=True)
        ]
        least, most = (end.reduce(rays, axis=(1, 2)) for end in (np.fmin, np.fmax))
        return least - beside, most + beside

    @cached_property
    def _reach(self) -> float:
        """The tangent of the angle at which the distortion's polynomial turns back.

        What lies farther beside would be projected into the image.
        """
        tangents = np.tan(np.linspace(0, np.pi / 2, 2000)[:-1])
        k = self.distortion
        radial = k if self._is_fisheye else (*k[:2], *(0.0 for _ in k[2:4]), *k[4:])
        lens = replace(self, fx=1.0, fy=1.0, cx=0.0, cy=0.0, distortion=radial)
        radii = lens._pixels(np.column_stack([tangents, 0 * tangents, tangents**0]))[:, 0]
        turns = np.flatnonzero(~(np.diff(radii) > 0))
        return float(tangents[turns[0]]) if len(turns) else float("inf")

    @property
    def _is_fisheye(self) -> bool:
        return self.model == "equidistant"

    @property
    def _is_plain(self) -> bool:
        return not self.distortion and not self._is_fisheye

    @property
    def _coefficients(self) -> Doubles:
        return np.array(self.distortion or (0.0,) * 4)

    def _pixels(self, points: Doubles) -> Doubles:
        if self._is_plain:
            plane = points[:, :2] / points[:, 2:]
            return plane * (self.fx, self.fy) + (self.cx, self.cy)
        project = cv2.fisheye.projectPoints if self._is_fisheye else cv2.projectPoints
        none = np.zeros(3)
        found = project(points.reshape(-1, 1, 3), none, none, self.matrix, self._coefficients)
        return np.asarray(found[0], np.float64).reshape(-1, 2)
