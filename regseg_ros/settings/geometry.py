"""From labels to places: where cameras are, what they are paired with, what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regseg_ros.settings.fields import LIVE, parameter


@dataclass(frozen=True)
class PlaceSettings:
    """Of one camera: its calibration, its place on the robot, the sensors that look with it."""

    camera_info_topic: str = parameter(
        "", "The camera's calibration, sensor_msgs/CameraInfo. Empty: beside the camera topic."
    )
    rectified: bool = parameter(
        False, "The images are rectified: the calibration's P counts, not K and D."
    )
    depth_topic: str = parameter(
        "",
        "Depth registered to this camera, sensor_msgs/Image: 16UC1 in mm or 32FC1 in m. For"
        " ~/points, ~/obstacles and ~/static_depth.",
    )
    cloud_topic: str = parameter(
        "",
        "A lidar, sensor_msgs/PointCloud2, for ~/points and ~/obstacles where there is no depth.",
    )
    cloud_to_camera: Sequence[float] = parameter(
        (0.0,) * 7,
        "Where the lidar's frame lies in the camera's optical frame: x, y, z in m and the"
        " quaternion x, y, z, w. All 0: from TF, where tf2_ros is installed.",
    )
    camera_height: float = parameter(
        0.0,
        "The lens above the ground in m, for ~/free_space, ~/grid and ~/ground_points. 0: from TF"
        " to ground_frame, where tf2_ros is installed.",
        limits=(0.0, 1000.0),
        read=LIVE,
    )
    camera_pitch: float = parameter(
        0.0,
        "How far the camera looks down, in rad; with camera_height.",
        limits=(-1.6, 1.6),
        read=LIVE,
    )
    camera_roll: float = parameter(
        0.0,
        "How far its right side is lower, in rad; with camera_height.",
        limits=(-3.2, 3.2),
        read=LIVE,
    )
    ground_frame: str = parameter(
        "base_link",
        "Frame of ~/free_space and ~/grid, level, its origin on the ground. With camera_height it"
        " is taken to lie below the lens, x to where the camera looks.",
    )


@dataclass(frozen=True)
class GeometrySettings:
    """Of all cameras together."""

    groups: str = parameter(
        "",
        "What classes mean to a robot: cityscapes, camvid, autoware or a YAML file. ~/label and"
        " ~/mask then show groups. Empty: they show classes; costs and roles are those of the"
        " built-in groups that fit.",
        read=LIVE,
    )
    label_size: Sequence[int] = parameter(
        (0, 0),
        "Width and height of ~/label_small and ~/confidence_small. 0: those of ~/points, which"
        " points_stride says.",
        limits=(0, 8192),
        read=LIVE,
    )
    points_stride: int = parameter(
        1, "Every so many pixels across and down become a point.", limits=(1, 64), read=LIVE
    )
    points_min_range: float = parameter(
        0.0, "Nearer points are left out, in m.", limits=(0.0, 1000.0), read=LIVE
    )
    points_max_range: float = parameter(
        0.0, "Farther points are left out, in m. 0: none are.", limits=(0.0, 10000.0), read=LIVE
    )
    points_layout: str = parameter(
        "pcl",
        "pcl: x, y, z, rgb, label, confidence; autoware: its PointXYZCPE of 24 bytes.",
        choices=("pcl", "autoware"),
        read=LIVE,
    )
    sync_slop: float = parameter(
        0.05,
        "How far stamps of an image and of depth or a lidar may differ, in s. 0: not at all.",
        limits=(0.0, 10.0),
        read=LIVE,
    )
    static_margin: int = parameter(
        5,
        "Pixels around what is dynamic that ~/static_depth leaves out as well.",
        limits=(0, 100),
        read=LIVE,
    )
    grid_cell: float = parameter(
        0.1,
        "Side of a cell of ~/grid in m. Where a pixel covers more of the ground than that, it is"
        " unknown.",
        limits=(0.01, 10.0),
        read=LIVE,
    )
    ground_range: float = parameter(
        10.0,
        "How far ~/free_space, ~/grid and ~/ground_points reach, in m.",
        limits=(0.1, 1000.0),
        read=LIVE,
    )
    grid_votes: int = parameter(
        3, "Frames of which a cell takes the most frequent value.", limits=(1, 100), read=LIVE
    )

    def small_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the small outputs of an image of that size."""
        across, down = self.points_size(width, height)
        return self.label_size[0] or across, self.label_size[1] or down

    def points_size(self, width: int, height: int) -> tuple[int, int]:
        """How many points across and down."""
        return max(1, width // self.points_stride), max(1, height // self.points_stride)
