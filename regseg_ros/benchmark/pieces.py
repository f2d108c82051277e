"""A node of the node's own pieces, in a process of its own: notes when each is done."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from regseg_core import Segmenter
from regseg_core.device import keep_freed_memory
from regseg_core.messages.uncompressed import to_frame
from regseg_ros.benchmark.load import CAMERA_TOPIC, MASK_TOPIC
from regseg_ros.benchmark.operators import operator_times
from regseg_ros.benchmark.sink import stamp_of
from regseg_ros.benchmark.talking import serve_beside
from regseg_ros.cdr import received_image, serialized_image
from regseg_ros.input import BEST_EFFORT
from regseg_ros.mailbox import Mailbox
from regseg_ros.publishing import OUTPUT_QOS
from regseg_ros.worker import Worker

#: Between the marks of a frame, the first of which is the camera's stamp.
STEPS = ("receive", "hand over", "view", "call", "colour", "message", "publish")

#: A frame's stamp and the times at which each step was done, in ns.
Marks = list[int]


class Pieces:
    """Segments what a camera sends, as the node does with one camera and one output."""

    def __init__(self, backend: str, precision: str, height: int, width: int) -> None:
        self.node = Node("pieces")
        self._segment = Segmenter(backend=backend, precision=precision)
        spec = self._segment.spec(height, width, confidence=True)
        self._job = self._segment.job(spec)
        self._backend = self._segment.compile(spec)
        self._publisher = self.node.create_publisher(Image, MASK_TOPIC, OUTPUT_QOS)
        self._marks: list[Marks] = []
        self._frame: Any = None
        self._mailbox: Mailbox[tuple[bytes, int]] = Mailbox()
        self._worker = Worker("segmenting", self._mailbox, self._work)
        self._subscription = self.node.create_subscription(
            Image, CAMERA_TOPIC, self._put, BEST_EFFORT, raw=True
        )

    def take(self) -> list[Marks]:
        """Of the frames that came since it was last asked."""
        marks, self._marks = self._marks, []
        return marks

    def operators(self) -> tuple[dict[str, float], float]:
        """How the call's time divides: of the graph's parts, and besides, in ms.

        Nothing is known of another backend than OpenVINO.
        """
        frame = self._frame
        if self._backend != "openvino" or frame is None:
            return {}, 0.0
        return operator_times(
            self._job, frame.pixels, lambda: self._segment.segment([frame], confidence=True)
        )

    def _put(self, data: bytes) -> None:
        self._mailbox.put(0, (data, time.time_ns()))

    def _work(self, waiting: list[tuple[bytes, int]]) -> None:
        for data, received in waiting:
            marks = [stamp_of(data), received, time.time_ns()]
            message = received_image(data)
            self._frame = to_frame(message)
            marks.append(time.time_ns())
            (result,) = self._segment.segment([self._frame], confidence=True)
            marks.append(time.time_ns())
            mask = result.mask()
            marks.append(time.time_ns())
            coloured = serialized_image(mask, "rgb8", message.header)
            marks.append(time.time_ns())
            self._publisher.publish(coloured)
            marks.append(time.time_ns())
            self._marks.append(marks)


def main() -> None:
    keep_freed_memory()  # as the node does
    rclpy.init()
    pieces = Pieces(**json.loads(sys.argv[1]))
    answers: dict[str, Callable[..., object]] = {
        "take": pieces.take,
        "operators": pieces.operators,
    }
    ended = serve_beside(answers)
    executor = SingleThreadedExecutor()
    executor.add_node(pieces.node)
    while not ended.is_set():
        executor.spin_once(timeout_sec=0.1)


if __name__ == "__main__":
    main()
