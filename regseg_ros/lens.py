"""What a camera driver publishes beside its images: its calibration, and the street's depth."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from regseg_core.data.synthetic import STREET, SyntheticStreet
from regseg_core.geometry.camera_model import CameraModel, Floats
from regseg_ros.geometry.calibration import info_message
from regseg_ros.messages import message_bytes
from regseg_ros.names import beside
from regseg_ros.settings import SourceSettings


class Lens:
    """Publishes `camera_info` beside the camera's topic where the camera is known.

    That is the synthetic street's, and one of which `focal` is given. The street's depth goes out
    as well while somebody listens: 32FC1, registered to the image, NaN in the sky.
    """

    def __init__(self, node: Node, settings: SourceSettings, qos: QoSProfile) -> None:
        self._focal, self._rate = settings.focal, settings.rate
        camera = settings.image_topic
        self._street: SyntheticStreet | None = None
        if str(settings.source) == STREET:
            self._street = SyntheticStreet(settings.width, settings.height)
            self._depth = node.create_publisher(Image, beside(camera, "depth/image_raw"), qos)
        self._is_known = self._street is not None or self._focal > 0
        if self._is_known:
            self._info = node.create_publisher(CameraInfo, beside(camera, "camera_info"), qos)

    def publish(self, header: Header, width: int, height: int, number: int) -> None:
        """Of an image of that size, the source's frame of that number from 0 on."""
        if self._is_known:
            self._info.publish(info_message(self._camera(width, height), header))
        if self._street is not None and self._depth.get_subscription_count():
            depth = self._street.depth(number / self._rate)
            self._depth.publish(_depth_message(depth, header))

    def _camera(self, width: int, height: int) -> CameraModel:
        if self._street is not None:
            return self._street.camera
        middle = (width - 1) / 2, (height - 1) / 2
        return CameraModel(width, height, self._focal, self._focal, *middle)


def _depth_message(depth: Floats, header: Header) -> Image:
    height, width = depth.shape
    known = np.where(np.isfinite(depth), depth, np.float32(np.nan))
    return Image(
        header=header,
        height=height,
        width=width,
        encoding="32FC1",
        step=4 * width,
        data=message_bytes(known.data),
    )
