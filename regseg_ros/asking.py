"""What other nodes are asked."""

from __future__ import annotations

import numpy as np
import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

from regseg_core.labels import LabelClass


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
