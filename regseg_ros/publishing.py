"""A camera's topics out: images and compressed ones, and camera_info beside them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from rclpy.lifecycle import LifecycleNode, Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from regseg_core import Segmentation
from regseg_core.geometry.camera_model import CalibrationError
from regseg_core.outputs import Output, Style
from regseg_ros.cdr import serialized_image
from regseg_ros.geometry.calibration import camera_model_of, scaled_info
from regseg_ros.logs import THROTTLE
from regseg_ros.mailbox import Mailbox
from regseg_ros.messages import compressed_message

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # its name in Humble
    from rclpy.qos_event import PublisherEventCallbacks

OUTPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class ToCompress:
    """An output of a segmentation that somebody wants compressed."""

    publisher: Any
    output: Output
    result: Segmentation
    style: Style
    header: Header


def publisher(node: LifecycleNode, prefix: str, undo: ExitStack, kind: Any, name: str) -> Publisher:
    """Of an output, until `undo` is closed. `prefix`: empty, or a camera's name and a slash.

    Without rclpy's own events: its executor goes through those of all publishers around each
    frame, a third of what receiving one costs. What they would say `monitor.Unheard` does.
    """
    made = node.create_lifecycle_publisher(
        kind,
        f"~/{prefix}{name}",
        OUTPUT_QOS,
        event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )
    undo.callback(node.destroy_lifecycle_publisher, made)
    return made


class Topics:
    """The images of one camera and their calibrations.

    `create` makes a publisher, `warn` says why an image cannot be made.
    """

    def __init__(
        self,
        outputs: Mapping[str, Output],
        create: Callable[[Any, str], Publisher],
        warn: Callable[[str], None],
    ) -> None:
        self._outputs, self._warn = outputs, warn
        self._images = {name: create(Image, name) for name in outputs}
        self._compressed = {name: create(CompressedImage, f"{name}/compressed") for name in outputs}
        self._info = create(CameraInfo, "camera_info")
        self._small_info = create(CameraInfo, "label_small/camera_info")
        #: How often the calibrations that are wanted went out, and why one does not.
        self.calibrated, self.uncalibrated = 0, ""

    @property
    def names(self) -> list[str]:
        """Of the images, as the graph knows them."""
        return [str(publisher.topic_name) for publisher in self._images.values()]

    def wanted_infos(self) -> list[str]:
        """The calibrations that somebody subscribes to, as the graph knows them."""
        infos = (self._info, self._small_info)
        return [str(info.topic_name) for info in infos if info.get_subscription_count()]

    def wanted(self) -> list[str]:
        """The outputs that somebody subscribes to, as they are or compressed."""
        return [
            name
            for name in self._outputs
            if self._images[name].get_subscription_count()
            or self._compressed[name].get_subscription_count()
        ]

    def publish(
        self,
        result: Segmentation,
        header: Header,
        wanted: list[str],
        style: Style,
        to_compress: Mailbox[ToCompress],
    ) -> None:
        """Sends images, and leaves what is to be compressed to another thread."""
        for name, output in self._outputs.items():
            if name not in wanted:
                continue
            if output.needs_groups and result.groups is None:
                known = ", ".join(result.label_set.names)
                topic = self._images[name].topic_name
                self._warn(f"no {topic}: no built-in groups fit the classes {known}: set groups")
                continue
            if self._images[name].get_subscription_count():
                pixels = output.pixels(result, style)
                assert pixels is not None
                self._images[name].publish(serialized_image(pixels, output.encoding, header))
            compressed = self._compressed[name]
            if compressed.get_subscription_count():
                item = ToCompress(compressed, output, result, style, header)
                to_compress.put(compressed, item)

    def publish_info(
        self, info: CameraInfo, header: Header, labels: tuple[int, ...], small: tuple[int, int]
    ) -> None:
        """Sends the camera's own calibration, and that of the small outputs, under their header.

        `labels`: height and width of the images. `small`: width and height of the small outputs.
        """
        info.header = header
        if self._info.get_subscription_count():
            self._info.publish(info)
        if self._small_info.get_subscription_count():
            try:
                camera_model_of(info, labels)
                self._small_info.publish(scaled_info(info, *small))
            except CalibrationError as error:
                self.uncalibrated = f"no {self._small_info.topic_name}: {error}"
                return
        self.calibrated, self.uncalibrated = self.calibrated + 1, ""


def compress(node: LifecycleNode, items: list[ToCompress]) -> None:
    """Encodes and publishes; must not raise."""
    for item in items:
        try:
            pixels = item.output.pixels(item.result, item.style)
            assert pixels is not None
            item.publisher.publish(compressed_message(pixels, item.output, item.header))
        except Exception:
            if node.context.ok():  # else a signal has taken the publishers away
                node.get_logger().error(
                    f"an output could not be compressed: {traceback.format_exc()}",
                    throttle_duration_sec=THROTTLE,
                )
