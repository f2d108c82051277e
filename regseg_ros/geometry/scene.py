"""All that is known of one segmented image: what it shows, and what was measured with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from regseg_core import Segmentation
from regseg_core.arrays import Doubles
from regseg_core.geometry.camera_model import CameraModel, Floats
from regseg_core.geometry.grid import GroundGrid
from regseg_core.geometry.ground import FreeSpace, GroundView, free_space
from regseg_core.geometry.lidar import label_points
from regseg_core.geometry.points import (
    Points,
    PointSettings,
    from_cloud,
    from_depth,
    packed_colors,
)
from regseg_core.groups import Role
from regseg_ros.settings import SegmenterSettings


@dataclass(frozen=True)
class Depth:
    """A depth image that belongs to the segmented one."""

    #: H x W, uint16 in mm or float32 in m.
    pixels: npt.NDArray[Any]
    message: Image


@dataclass(frozen=True)
class Cloud:
    """A lidar's points, N x 3 in m, and where its frame lies in the camera's (4 x 4)."""

    points: Floats
    to_camera: Doubles
    header: Header


@dataclass(frozen=True, eq=False)
class Scene:
    """A segmentation with its surroundings; what is not asked for stays None."""

    result: Segmentation
    header: Header
    settings: SegmenterSettings
    #: None where only the image itself is needed.
    camera: CameraModel | None
    depth: Depth | None = None
    cloud: Cloud | None = None
    view: GroundView | None = None
    grid: GroundGrid | None = None
    #: Of what lies on the ground.
    ground_frame: str = ""

    @property
    def point_settings(self) -> PointSettings:
        """Which points are made."""
        height, width = self.result.labels.shape
        settings = self.settings
        return PointSettings(
            settings.points_size(width, height),
            settings.points_min_range,
            settings.points_max_range or np.inf,
        )

    @cached_property
    def colors(self) -> npt.NDArray[np.uint32]:
        """Of the labels, as PCL packs them."""
        return packed_colors(self.result.label_set.palette)

    @cached_property
    def points(self) -> Points:
        """Labelled points of the depth image, organised, or of the lidar.

        Raises FrameError and CalibrationError.
        """
        if self.depth is not None:
            return self.organised(self.depth.pixels)
        assert self.cloud is not None and self.camera is not None
        xyz, result = self.cloud.points, self.result
        seen = label_points(
            xyz, self.cloud.to_camera, self.camera, result.labels, result.confidence
        )
        return from_cloud(xyz, seen, self.colors, self.point_settings)

    @property
    def points_header(self) -> Header:
        """Of `points`: the label's, or the lidar's own."""
        return self.header if self.cloud is None else self.cloud.header

    @cached_property
    def free(self) -> FreeSpace:
        """How far the ground goes."""
        assert self.view is not None
        ground, unknown = self.result.ids(Role.GROUND), self.result.unlabelled
        return free_space(self.view, self.result.labels, ground, unknown)

    def organised(self, depth: npt.NDArray[Any]) -> Points:
        """Labelled points of a depth, H x W, uint16 in mm or float32 in m."""
        assert self.camera is not None
        result, rays = self.result, self.camera.rays
        settings = self.point_settings
        return from_depth(depth, rays, result.labels, result.confidence, self.colors, settings)
