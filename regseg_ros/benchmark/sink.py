"""The benchmark's sink, in a process of its own: notes when each mask comes."""

from __future__ import annotations

import json
import struct
import sys
import time
from functools import partial

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from regseg_core.device import keep_freed_memory
from regseg_ros.benchmark.talking import serve_beside

QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)

#: Of the stamp in a message that begins with a header, behind the four bytes that say how the rest
#: is written: little-endian, here.
_STAMP = struct.Struct("<4xiI")


def stamp_of(data: bytes) -> int:
    """The stamp of a serialised message in ns."""
    seconds, nanoseconds = _STAMP.unpack_from(data)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


class Sink:
    """Masks of some cameras, as bytes: nothing is made of them."""

    def __init__(self, topics: list[str]) -> None:
        self.node = Node("benchmark_sink")
        for camera, topic in enumerate(topics):
            self.node.create_subscription(
                Image, topic, partial(self._arrive, camera), QOS, raw=True
            )
        self._arrivals: list[tuple[int, int, int]] = []

    def take(self) -> list[tuple[int, int, int]]:
        """Camera, stamp and time of arrival (ns) of the masks that came since it was last asked."""
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    def _arrive(self, camera: int, data: bytes) -> None:
        now = time.time_ns()
        self._arrivals.append((camera, stamp_of(data), now))


def main() -> None:
    # Else it takes 4 ms longer to receive a mask of 1280 x 720, in memory that is mapped anew.
    keep_freed_memory()
    rclpy.init()
    sink = Sink(json.loads(sys.argv[1]))
    ended = serve_beside({"take": sink.take})
    executor = SingleThreadedExecutor()
    executor.add_node(sink.node)
    while not ended.is_set():
        executor.spin_once(timeout_sec=0.5)


if __name__ == "__main__":
    main()
