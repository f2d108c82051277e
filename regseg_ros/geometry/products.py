"""What can be made of a scene; one row each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from regseg_core.geometry.ground import ground_depth
from regseg_core.geometry.points import autoware, places, without
from regseg_core.groups import Role
from regseg_ros.geometry.clouds import cloud_message
from regseg_ros.geometry.pairs import nanoseconds
from regseg_ros.geometry.scene import Scene
from regseg_ros.messages import message_bytes


@dataclass(frozen=True)
class Product:
    """A topic that needs more than the segmentation."""

    #: The message's type.
    kind: Any
    #: Raises FrameError, CalibrationError and ArgumentError.
    make: Callable[[Scene], Any]
    #: What the scene must hold: a depth image, a depth image or a lidar, or the ground.
    needs: str


DEPTH, POINTS, GROUND = "depth", "points", "ground"


def _points(scene: Scene) -> PointCloud2:
    layout = scene.settings.points_layout
    points = autoware(scene.points) if layout == "autoware" else scene.points
    return cloud_message(points, scene.points_header)


def _obstacles(scene: Scene) -> PointCloud2:
    ids = scene.result.ids(Role.OBSTACLE, Role.DYNAMIC)
    return cloud_message(places(scene.points, ids), scene.points_header)


def _static_depth(scene: Scene) -> Image:
    assert scene.depth is not None
    dynamic, given = scene.result.ids(Role.DYNAMIC), scene.depth.message
    left = without(scene.depth.pixels, scene.result.labels, dynamic, scene.settings.static_margin)
    return Image(
        header=given.header,
        height=given.height,
        width=given.width,
        encoding=given.encoding,
        is_bigendian=0,
        step=left.strides[0],
        data=message_bytes(left.view(np.uint8).data),
    )


def _free_space(scene: Scene) -> LaserScan:
    assert scene.view is not None
    first, step, ranges = scene.free.scan(scene.view.pose)
    return LaserScan(
        header=Header(stamp=scene.header.stamp, frame_id=scene.ground_frame),
        angle_min=first,
        angle_max=first + step * (len(ranges) - 1),
        angle_increment=step,
        range_min=0.0,
        range_max=scene.view.max_range + abs(scene.view.pose.ahead) + abs(scene.view.pose.left),
        ranges=message_bytes(ranges.data, "f"),
    )


def _grid(scene: Scene) -> OccupancyGrid:
    grid, view = scene.grid, scene.view
    assert grid is not None and view is not None
    taken = nanoseconds(scene.header.stamp) * 1e-9
    cells = grid.add(scene.result.labels, scene.free, taken)
    found = OccupancyGrid(header=Header(stamp=scene.header.stamp, frame_id=scene.ground_frame))
    found.info.map_load_time = scene.header.stamp
    found.info.resolution = view.cell
    found.info.height, found.info.width = cells.shape
    # The corner of the first cell: below the camera, as far to its right as the map reaches.
    pose, right = view.pose, -len(grid.ahead) * view.cell
    x = pose.ahead - right * math.sin(pose.yaw)
    y = pose.left + right * math.cos(pose.yaw)
    turned = Quaternion(z=math.sin(pose.yaw / 2), w=math.cos(pose.yaw / 2))
    found.info.origin = Pose(position=Point(x=x, y=y), orientation=turned)
    found.data = message_bytes(cells.data, "b")
    return found


def _ground_points(scene: Scene) -> PointCloud2:
    assert scene.view is not None
    ground = scene.result.ids(Role.GROUND)
    stride = scene.settings.points_stride
    # Of a height that is no multiple of the stride, rows may lie one farther apart.
    thick = stride + 1 if stride > 1 else 1
    depth = ground_depth(scene.view, scene.result.labels, ground, scene.free, thick)
    return cloud_message(scene.organised(depth), scene.header)


PRODUCTS = {
    "points": Product(PointCloud2, _points, POINTS),
    "obstacles": Product(PointCloud2, _obstacles, POINTS),
    "static_depth": Product(Image, _static_depth, DEPTH),
    "free_space": Product(LaserScan, _free_space, GROUND),
    "grid": Product(OccupancyGrid, _grid, GROUND),
    "ground_points": Product(PointCloud2, _ground_points, GROUND),
}
