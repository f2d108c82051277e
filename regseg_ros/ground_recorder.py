"""Draws what the node knows of the ground at the end: the newest frame of which all has come."""

from __future__ import annotations

if __name__ == "__main__":
    from regseg_ros import entry

    entry.ground_recorder()  # catches signals first: the imports below take seconds
    raise SystemExit

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, LaserScan

from regseg_core.geometry.picture import Ground, ground_picture
from regseg_core.labels import LabelClass
from regseg_core.media import write_image
from regseg_core.messages.uncompressed import to_frame
from regseg_ros.asking import ask_classes
from regseg_ros.geometry.pairs import nanoseconds
from regseg_ros.parameters import declare, read
from regseg_ros.process import run, spin
from regseg_ros.settings import GroundRecorderSettings

_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
#: Frames of which something has not come.
_PENDING = 30


def ground_of(grid: OccupancyGrid, scan: LaserScan) -> Ground:
    """Of a camera without a place on the robot: the map begins below it."""
    cells = np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
    ranges = np.array(scan.ranges)
    angles = scan.angle_min + scan.angle_increment * np.arange(len(ranges))
    ends = np.minimum(ranges, scan.range_max)  # NaN stays
    return Ground(cells, grid.info.resolution, ends * np.cos(angles), ends * np.sin(angles))


class GroundRecorder(Node):
    """Keeps the newest image, mask, grid and scan of one stamp."""

    def __init__(self) -> None:
        super().__init__("ground_recorder")
        declare(self, GroundRecorderSettings)
        self.settings = read(self, GroundRecorderSettings)
        self.classes: list[LabelClass] = []
        self._pending: dict[int, dict[str, Any]] = {}
        self._whole: dict[str, Any] = {}

    def listen(self) -> None:
        """Subscribes; to the camera last, once the node is there."""
        name = self.settings.node
        for title, kind in (("mask", Image), ("grid", OccupancyGrid), ("free_space", LaserScan)):
            topic = f"{name}/{title}"
            self.create_subscription(kind, topic, partial(self._keep, title), _QOS)
            while not self.count_publishers(topic):
                rclpy.spin_once(self, timeout_sec=0.1)
        self.classes = ask_classes(self, name)
        camera = self.settings.image_topic
        self.create_subscription(Image, camera, partial(self._keep, "camera"), _QOS)

    def finish(self) -> None:
        """Writes the picture, or ends the process where nothing came whole. Raises FileError."""
        if not self._whole:
            sys.exit(
                f"error: {self.settings.node} published no grid and free_space of an image that"
                " came here; its warnings say why"
            )
        ground = ground_of(self._whole["grid"], self._whole["free_space"])
        camera, mask = (to_frame(self._whole[title]).rgb() for title in ("camera", "mask"))
        picture = ground_picture(camera, mask, ground, self.classes)
        write_image(Path(self.settings.out) / "ground.png", picture)

    def _keep(self, title: str, message: Any) -> None:
        stamp = nanoseconds(message.header.stamp)
        parts = self._pending.setdefault(stamp, {})
        parts[title] = message
        if len(parts) == 4:
            self._whole = self._pending.pop(stamp)
        while len(self._pending) > _PENDING:
            del self._pending[min(self._pending)]


def _record(recorder: GroundRecorder) -> None:
    try:
        recorder.listen()
        spin(recorder)
    finally:
        recorder.finish()  # SIGINT and SIGTERM end the recording, not the drawing


def main(arguments: list[str] | None = None) -> None:
    run(GroundRecorder, _record, arguments)
