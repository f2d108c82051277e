"""A process of its own: a reliable subscriber that keeps all, and reads while it is not stopped."""

from __future__ import annotations

import sys

import rclpy
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image


def main() -> None:
    rclpy.init()
    node = Node("deaf")
    qos = QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)
    for topic in sys.argv[1:]:
        node.create_subscription(Image, topic, lambda _: print("heard", flush=True), qos)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
