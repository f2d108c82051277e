"""Where frames lie to each other, from TF where tf2_ros is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.time import Time

from regseg_core.arrays import Doubles
from regseg_core.geometry.camera_model import CalibrationError
from regseg_core.geometry.lidar import transform


class Transforms:
    """Listens to /tf from the first question on."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None

    def find(self, target: str, source: str, instead: str) -> Doubles:
        """4 x 4 that takes points of frame `source` to frame `target`, the newest known.

        `instead`: the parameter that can say it as well. Raises CalibrationError.
        """
        if target == source:
            return np.eye(4)
        if self._buffer is None:
            try:
                import tf2_ros
            except ImportError:
                raise CalibrationError(
                    f"tf2_ros is not installed: install it, or set {instead}"
                ) from None
            buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(buffer, self._node)
            self._buffer = buffer
        try:
            found = self._buffer.lookup_transform(target, source, Time()).transform
        except Exception as error:  # tf2's own errors have no common type in every release
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CalibrationError(
                f"TF has no way from {source!r} to {target!r} ({reason}): publish it, or set"
                f" {instead}"
            ) from None
        r, t = found.rotation, found.translation
        return transform((r.x, r.y, r.z, r.w), (t.x, t.y, t.z))

    def close(self) -> None:
        """Listens no more."""
        if self._listener is not None:
            self._listener.unregister()
        self._buffer = self._listener = None
