"""What the node says of itself on /diagnostics."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from regseg_ros.benchmark.load import BenchmarkError

#: Seconds without a status after which something is wrong; the node sends one a second.
_PATIENCE = 20.0

#: What a camera's status says, by its keys.
Status = dict[str, str]


class Watcher:
    """Hears the status of so many cameras, on the same DDS domain as `environment`'s processes."""

    def __init__(self, environment: Mapping[str, str], cameras: int) -> None:
        # Which machines are heard; not the profile, which is that of those that are measured.
        os.environ.update({k: v for k, v in environment.items() if k.startswith("ROS_")})
        self._cameras = cameras
        self._context = Context()
        rclpy.init(context=self._context, domain_id=int(environment["ROS_DOMAIN_ID"]))
        self._node = Node("benchmark", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._statuses: dict[str, Status] = {}
        self._since = 0.0
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)

    def close(self) -> None:
        """Hears no more."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def look(self) -> dict[str, Status]:
        """The next status of each camera, by its name. Raises BenchmarkError where none comes."""
        self._statuses, self._since = {}, time.time()
        deadline = time.monotonic() + _PATIENCE
        while len(self._statuses) < self._cameras:
            if time.monotonic() > deadline:
                raise BenchmarkError(
                    f"{len(self._statuses)} of {self._cameras} cameras have a status on"
                    f" /diagnostics after {_PATIENCE:g} s"
                )
            self._executor.spin_once(timeout_sec=0.1)
        return dict(self._statuses)

    def _hear(self, message: DiagnosticArray) -> None:
        stamp = message.header.stamp
        if stamp.sec + stamp.nanosec * 1e-9 < self._since:
            return  # it has been waiting here
        for status in message.status:
            self._statuses[status.name] = {entry.key: entry.value for entry in status.values}
