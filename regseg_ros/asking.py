"""What other nodes are asked."""

from __future__ import annotations

import time

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

from regseg_core.labels import LabelClass

#: Diagnostics in a row without compiling, after which none is to be expected.
_READY_AFTER = 3


def ask_classes(asker: Node, node: str) -> list[LabelClass]:
    """The classes that a segmenting node shows; waits for it."""
    client = asker.create_client(GetParameters, f"{node}/get_parameters")
    while not client.wait_for_service(timeout_sec=1.0):
        asker.get_logger().info(f"waiting for {node}", throttle_duration_sec=5.0)
    request = GetParameters.Request(names=["class_names", "class_ids", "class_colors"])
    answer = None
    while answer is None:
        # Asked again, since an answer is lost where the node has not discovered us yet.
        future = client.call_async(request)
        rclpy.spin_until_future_complete(asker, future, timeout_sec=2.0)
        answer = future.result()
    names, ids, channels = answer.values
    colors = np.reshape(channels.integer_array_value, (-1, 3)).tolist()
    return [
        LabelClass(class_id, name, tuple(color))
        for name, class_id, color in zip(
            names.string_array_value, ids.integer_array_value, colors, strict=True
        )
    ]


def wait_until_ready(asker: Node, node: str, seconds: float) -> bool:
    """Waits until a segmenting node has compiled what it compiles; whether it has by then.

    It has where its diagnostics say so, once after they said that it was at it, or three times.
    """
    idle = [0]

    def look(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f"{node}: segmentation"):
                values = {entry.key: entry.value for entry in status.values}
                idle[0] = idle[0] + 1 if values["compiling"] == "nothing" else _READY_AFTER - 1

    subscription = asker.create_subscription(DiagnosticArray, "/diagnostics", look, 10)
    deadline = time.monotonic() + seconds
    while idle[0] < _READY_AFTER and time.monotonic() < deadline:
        rclpy.spin_once(asker, timeout_sec=0.1)
    asker.destroy_subscription(subscription)
    return idle[0] >= _READY_AFTER
