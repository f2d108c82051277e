"""One camera, no depth: what the ground before it is like, as far as it can be seen.

Only ground is projected, and the foot of what stands on it: what stands up would smear away from
the camera.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Doubles, Image, among
from regseg_core.geometry.camera_model import CalibrationError, CameraModel, Floats, Indices

#: Radians between two directions of a scan that may be filled from their sides.
_APART = 0.1

#: Optical axes (x right, y down, z ahead) in ROS' (x ahead, y left, z up).
_AXES = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


@dataclass(frozen=True)
class Pose:
    """Where a camera is above flat ground: metres, and radians in ROS' sense.

    `pitch` is positive where it looks down, `roll` where its right side is lower. `ahead`, `left`
    and `yaw` say where it is and looks in the robot's frame. Raises CalibrationError.
    """

    height: float
    pitch: float = 0.0
    roll: float = 0.0
    ahead: float = 0.0
    left: float = 0.0
    yaw: float = 0.0

    def __post_init__(self) -> None:
        if not np.isfinite(astuple(self)).all() or self.height <= 0:
            raise CalibrationError(
                f"the camera is {self.height:g} m above the ground, pitch {self.pitch:g}, roll"
                f" {self.roll:g}: give its height and angles"
            )

    @classmethod
    def of(cls, to_ground: Doubles) -> Pose:
        """From 4 x 4, optical frame to a frame on the ground. Raises CalibrationError."""
        turned = to_ground[:3, :3] @ _AXES.T
        x, y, z = to_ground[:3, 3]
        return cls(
            height=float(z),
            pitch=float(np.arcsin(np.clip(-turned[2, 0], -1, 1))),
            roll=float(np.arctan2(turned[2, 1], turned[2, 2])),
            ahead=float(x),
            left=float(y),
            yaw=float(np.arctan2(turned[1, 0], turned[0, 0])),
        )

    @property
    def rotation(self) -> Doubles:
        """3 x 3: from the optical frame to x ahead, y left, z up, level, as the camera looks."""
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        pitch = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        roll = np.array([[1.0, 0, 0], [0, cos, -sin], [0, sin, cos]])
        found: Doubles = pitch @ roll @ _AXES
        return found


@dataclass(frozen=True)
class Sweep:
    """What a camera sees of the ground, by bearing and distance.

    `bearings`: B, radians to the left, evenly spaced. `distances`: D, metres on the ground, rising.
    `rows`, `columns`: D x B, the pixel that sees that place; -1 outside the image.
    """

    bearings: Doubles
    distances: Doubles
    rows: Indices
    columns: Indices

    def of(self, labels: Image, outside: int) -> Image:
        """D x B uint8: the label at each place."""
        found = labels[self.rows, self.columns]
        found[self.rows < 0] = outside
        return found


class GroundView:
    """A camera above the ground, and how far it sees it well.

    `cell`: metres; where one pixel covers more of the ground than that, the ground is unknown.
    Raises CalibrationError where the camera sees no ground.
    """

    def __init__(
        self, camera: CameraModel, pose: Pose, cell: float = 0.1, max_range: float = 20.0
    ) -> None:
        self.camera, self.pose, self.cell, self.reach = camera, pose, cell, max_range
        self._down = pose.rotation
        focal = (camera.fx + camera.fy) / 2
        # d = height / tan(angle below the horizon): a pixel covers (d^2 + h^2) / (h f) there.
        sharp = cell * pose.height * focal - pose.height**2
        self.max_range = min(max_range, float(np.sqrt(max(sharp, 0.0))))
        rays = camera.rays
        x, y, z = np.tensordot(self._down, np.stack([*rays, np.ones_like(rays[0])]), axes=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            depths = np.where(z < 0, -pose.height / z, np.nan)
            distances = np.hypot(x, y) * depths
            far = ~(distances <= self.max_range)
        depths[far] = np.nan
        #: H x W float32: metres along the optical axis to the ground; NaN beyond `max_range`.
        self.depths: Floats = depths.astype(np.float32)
        ahead = ~far & (x > 0)
        if not ahead.any():
            raise CalibrationError(
                f"the camera, {pose.height:g} m high with pitch {pose.pitch:g}, sees no ground"
                f" ahead within {self.max_range:.1f} m: check camera_height and camera_pitch, or"
                " take larger cells"
            )
        #: Metres to the nearest ground that is seen; less than a cell is of no use.
        self.min_range = max(float(distances[ahead].min()), min(cell, self.max_range / 2))
        bearings = np.arctan2(y[ahead], x[ahead])
        self._bearings = float(bearings.min()), float(bearings.max())

    @cached_property
    def sweep(self) -> Sweep:
        """As fine as the image: a bearing a column, a distance a row."""
        camera, h = self.camera, self.pose.height
        bearings = np.linspace(*self._bearings, camera.width).astype(np.float64)
        # Even steps of what an image's rows are: the angle below the horizon.
        most, least = np.arctan2(h, self.min_range), np.arctan2(h, self.max_range)
        angles = np.linspace(most, least, max(2, round(camera.fy * (most - least))))
        distances = (h / np.tan(angles)).astype(np.float64)
        x = distances[:, None] * np.cos(bearings)
        y = distances[:, None] * np.sin(bearings)
        return Sweep(bearings, distances, *self.pixels_of(x, y))

    def pixels_of(self, ahead: Doubles, left: Doubles) -> tuple[Indices, Indices]:
        """Places on the ground, two arrays of metres -> their rows and columns, -1 outside."""
        places = np.stack([ahead, left, np.full_like(ahead, -self.pose.height)], axis=-1)
        found = self.camera.pixels(places.reshape(-1, 3) @ self._down)
        columns, rows = found.reshape(*ahead.shape, 2).transpose(2, 0, 1)
        return rows, columns


@dataclass(frozen=True)
class FreeSpace:
    """How far the ground goes. For each bearing of a sweep: metres to what stops it."""

    bearings: Doubles
    #: Infinity where ground goes on as far as it is seen; NaN where not even the nearest is known.
    distances: Doubles
    #: Whether something stands there; else it is only not known what is.
    stopped: npt.NDArray[np.bool_]
    #: The pixel that sees its foot; -1 where nothing stands.
    rows: Indices
    columns: Indices

    def scan(self, pose: Pose) -> tuple[float, float, Floats]:
        """What a laser in the robot's frame would measure: first angle, step, B ranges.

        Radians to the left, rising, and metres, as in sensor_msgs/LaserScan.
        """
        step = float(self.bearings[1] - self.bearings[0])
        if pose.ahead == pose.left == 0:
            return float(self.bearings[0]) + pose.yaw, step, self.distances.astype(np.float32)
        angle = self.bearings + pose.yaw
        # What is endless or not known stays that, seen from beside.
        far = np.where(np.isfinite(self.distances), self.distances, 1e3)
        x, y = pose.ahead + far * np.cos(angle), pose.left + far * np.sin(angle)
        ranges = np.where(np.isfinite(self.distances), np.hypot(x, y), self.distances)
        around = np.unwrap(np.arctan2(y, x))
        first = around.min()
        direction = np.round((around - first) / step).astype(int)
        angles = first + step * np.arange(direction.max() + 1)
        order = np.argsort(around)
        between = (around[order][1:] + around[order][:-1]) / 2
        nearest = order[np.searchsorted(between, angles)]
        # Directions that the camera does not see at all, as between what is before the robot's
        # origin and what is behind it, are not known.
        known = abs(around[nearest] - angles) < _APART
        seen = np.where(known, ranges[nearest], np.nan)
        # Of what lies in one direction from here, a laser meets the nearest.
        np.fmin.at(seen, direction, ranges)
        return float(first), step, seen.astype(np.float32)


def free_space(
    view: GroundView, labels: Image, ground: Collection[int], unknown: int, thick: int = 3
) -> FreeSpace:
    """The first place of each bearing that is not ground.

    `labels`: H x W uint8. `ground`: ids one can drive on. `unknown`: the id of pixels without a
    class. So many places in a row, `thick`, must be no ground: single pixels are noise.
    """
    sweep = view.sweep
    seen = sweep.of(labels, unknown)
    in_image = sweep.rows >= 0
    blocked = in_image & ~among(seen, ground)
    run = blocked.copy()
    for shift in range(1, thick):
        run[:-shift] &= blocked[shift:]
        run[-shift:] = False
    first = np.where(run.any(axis=0), run.argmax(axis=0), -1)
    bearing = np.arange(len(sweep.bearings))
    stopped = (first >= 0) & (seen[first, bearing] != unknown)
    distances = np.where(first >= 0, sweep.distances[first], np.inf)
    distances[~in_image.any(axis=0)] = np.nan
    rows, columns = (
        np.where(stopped, pixels[first, bearing], -1) for pixels in (sweep.rows, sweep.columns)
    )
    return FreeSpace(sweep.bearings, distances, stopped, rows, columns)


def ground_depth(
    view: GroundView, labels: Image, ground: Collection[int], free: FreeSpace, thick: int = 1
) -> Floats:
    """H x W float32, metres as from a depth camera: of the ground, and the foot of what stops it.

    NaN elsewhere. `labels`: H x W uint8. `ground`: ids one can drive on. `thick`: rows of a foot,
    which stand above it: where every n-th pixel is taken, n rows are sure to be among them.
    """
    found = np.where(among(labels, ground), view.depths, np.float32(np.nan))
    rows, columns = free.rows[free.stopped], free.columns[free.stopped]
    depths = view.depths[rows, columns]
    for above in range(thick):
        found[np.maximum(rows - above, 0), columns] = depths
    return found
