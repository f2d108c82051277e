"""The benchmark's camera, in a process of its own: sends prepared frames at a steady rate."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from regseg_ros.benchmark.pictures import image_messages, jpeg_messages, pictures
from regseg_ros.benchmark.talking import serve_beside
from regseg_ros.video_source import CAMERA_QOS


class Camera:
    """One or more cameras that take turns; each frame is stamped when it is sent.

    `sizes`: heights and widths; frames are of the first one until another is asked for.
    """

    def __init__(
        self, topics: list[str], sizes: list[list[int]], encoding: str, transport: str, data: str
    ) -> None:
        raw = transport == "raw"
        self._node = Node("benchmark_camera")
        kind, suffix = (Image, "") if raw else (CompressedImage, "/compressed")
        self._publishers = [
            self._node.create_publisher(kind, topic + suffix, CAMERA_QOS) for topic in topics
        ]
        made = [pictures(data, *size) for size in sizes]
        self._messages: list[list[Any]] = [
            image_messages(images, encoding) if raw else jpeg_messages(images) for images in made
        ]
        self._changed = threading.Condition()
        self._rate, self._size = 0.0, 0
        self._sent: list[tuple[int, int]] = []

    def subscribers(self) -> int:
        """Of the camera that has the fewest."""
        return min(int(publisher.get_subscription_count()) for publisher in self._publishers)

    def start(self, rate: float, size: int = 0) -> None:
        """Sends so many frames a second of each camera, from now on."""
        with self._changed:
            self._rate, self._size = rate, size
            self._changed.notify()

    def stop(self) -> list[tuple[int, int]]:
        """Sends no more; returns which camera sent at which stamp (ns), since it was last asked."""
        with self._changed:
            self._rate = 0.0
            sent, self._sent = self._sent, []
            return sent

    def run(self, ended: threading.Event) -> None:
        """Sends what is asked for, until `ended`."""
        due, turn = 0.0, 0
        while not ended.is_set():
            with self._changed:
                if self._rate == 0.0:
                    self._changed.wait(0.1)
                    continue
                early = due - time.monotonic()
                if early <= 0:
                    self._send(turn)
                    turn += 1
                    step = 1 / (self._rate * len(self._publishers))
                    # One that is missed is not made up for: cameras do not send bursts.
                    due = step + (due if -early < step else time.monotonic())
                    continue
            time.sleep(min(early, 0.1))

    def _send(self, turn: int) -> None:
        lap, camera = divmod(turn, len(self._publishers))
        messages = self._messages[self._size]
        message = messages[lap % len(messages)]
        now = time.time_ns()
        stamp = message.header.stamp
        stamp.sec, stamp.nanosec = divmod(now, 1_000_000_000)
        self._publishers[camera].publish(message)
        self._sent.append((camera, now))


def main() -> None:
    rclpy.init()
    camera = Camera(**json.loads(sys.argv[1]))
    camera.run(
        serve_beside(
            {"subscribers": camera.subscribers, "start": camera.start, "stop": camera.stop}
        )
    )


if __name__ == "__main__":
    main()
