"""Records what the node publishes: a video and an image of it, and how many masks came how late."""

from __future__ import annotations

if __name__ == "__main__":
    from regseg_ros import entry

    entry.recorder()  # catches signals first: the imports below take seconds
    raise SystemExit

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image

from regseg_core.arrays import Image as Pixels
from regseg_core.drawing import sheet, side_by_side
from regseg_core.errors import FrameError
from regseg_core.files import write_bytes
from regseg_core.labels import LabelClass
from regseg_core.media import VideoWriter, write_image
from regseg_core.messages.uncompressed import to_frame
from regseg_ros.asking import ask_classes, wait_until_ready
from regseg_ros.parameters import declare, read
from regseg_ros.process import run, spin
from regseg_ros.settings import RecorderSettings

TITLES = ("camera", "mask", "overlay")
RECORD_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)

#: Frames that wait for their mask; one whose mask never comes is forgotten.
PENDING = 30
#: Bytes of frames that wait to be written: 640 rows of 480 x 360, 53 of 1080p.
WAITING = 1_000_000_000
#: Seconds that writing the video may go on for after a signal.
WRITING = 15.0
#: Rows of the image.
ROWS = 4


@dataclass
class Arrivals:
    """When masks came, in seconds, and how long after their camera frame."""

    times: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Count, latency percentiles in ms, and masks a second."""
        if not self.times:
            return {"masks": 0}
        p50, p95 = np.percentile(self.latencies, (50, 95)) * 1000
        seconds = self.times[-1] - self.times[0]
        return {
            "masks": len(self.times),
            "latency_p50_ms": round(float(p50), 1),
            "latency_p95_ms": round(float(p95), 1),
            "masks_per_second": round((len(self.times) - 1) / seconds, 2) if seconds else None,
        }


class Samples:
    """A few of many rows, spread evenly over all that came."""

    def __init__(self) -> None:
        self._kept: list[tuple[Pixels, ...]] = []
        self._stride, self._seen = 1, 0

    def add(self, row: tuple[Pixels, ...]) -> None:
        if self._seen % self._stride == 0:
            self._kept.append(row)
            if len(self._kept) > 4 * ROWS:
                self._kept, self._stride = self._kept[::2], self._stride * 2
        self._seen += 1

    def chosen(self) -> list[tuple[Pixels, ...]]:
        chosen = np.linspace(0, len(self._kept) - 1, min(ROWS, len(self._kept))).round()
        return [self._kept[int(index)] for index in chosen]


class Waiting:
    """Rows that wait to be written, of `most` bytes together."""

    def __init__(self, most: int = WAITING) -> None:
        self._rows: queue.SimpleQueue[tuple[Pixels, ...] | None] = queue.SimpleQueue()
        self._most = most

    def put(self, row: tuple[Pixels, ...]) -> bool:
        """Leaves a row, as large as those that wait; whether there was room for it."""
        fits = (self._rows.qsize() + 1) * sum(pixels.nbytes for pixels in row) <= self._most
        if fits:
            self._rows.put(row)
        return fits

    def end(self) -> None:
        """No more come."""
        self._rows.put(None)

    def __iter__(self) -> Iterator[tuple[Pixels, ...]]:
        while (row := self._rows.get()) is not None:
            yield row


class Recorder(Node):
    """Puts camera frame, mask and overlay of one stamp together, for a writer thread."""

    def __init__(self) -> None:
        super().__init__("recorder")
        declare(self, RecorderSettings)
        self.settings = read(self, RecorderSettings)
        self.out = Path(self.settings.out)
        self.arrivals, self.samples = Arrivals(), Samples()
        self.classes: list[LabelClass] = []
        self._pending: dict[int, dict[str, Pixels]] = {}
        self._rows = Waiting()
        self._failure: Exception | None = None
        self._writer = threading.Thread(target=self._write, name="writing")
        self._writer.start()

    def listen(self) -> None:
        """Subscribes; to the camera last, once the node is there, so that no mask is missed."""
        node = self.settings.node
        self.classes = ask_classes(self, node)
        if wait := self.settings.ready_within:
            wait_until_ready(self, node, wait)
        for title in ("mask", "overlay"):
            topic = f"{node}/{title}"
            self.create_subscription(Image, topic, partial(self._on_image, title), RECORD_QOS)
            while not self.count_publishers(topic):
                rclpy.spin_once(self, timeout_sec=0.1)
        camera = self.settings.image_topic
        self.create_subscription(Image, camera, partial(self._on_image, "camera"), RECORD_QOS)
        self.get_logger().info(f"recording {camera}, {node}/mask and {node}/overlay")

    def finish(self) -> None:
        """Waits for the video and writes the image and the figures. Raises FileError."""
        self._rows.end()
        self._writer.join()
        if self._failure is not None:
            raise self._failure
        summary = json.dumps(self.arrivals.summary(), indent=1) + "\n"
        write_bytes(self.out / "demo.json", summary.encode())
        if rows := self.samples.chosen():
            write_image(self.out / "demo.png", sheet(rows, TITLES, self.classes))

    def _on_image(self, title: str, message: Image) -> None:
        if self._failure is not None:
            raise self._failure  # it ends the recording: all further frames would be lost
        now = self.get_clock().now()
        stamp = Time.from_msg(message.header.stamp)
        if title == "mask":
            self.arrivals.times.append(time.monotonic())
            self.arrivals.latencies.append((now - stamp).nanoseconds * 1e-9)
        try:
            frame = to_frame(message)
        except FrameError as error:
            self.get_logger().warning(f"{title}: {error}", throttle_duration_sec=5.0)
            return
        row = self._pending.setdefault(stamp.nanoseconds, {})
        row[title] = frame.rgb()
        if len(row) == len(TITLES):
            del self._pending[stamp.nanoseconds]
            if not self._rows.put(tuple(row[name] for name in TITLES)):
                self.get_logger().warning(
                    "frames come faster than they are written: the video leaves some out",
                    throttle_duration_sec=5.0,
                )
        while len(self._pending) > PENDING:
            del self._pending[min(self._pending)]

    def _write(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # frames first, then the film of them
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        try:
            with VideoWriter(self.out / "demo.mp4", self.settings.rate) as video:
                for row in self._rows:
                    video.write(side_by_side(row))
                    self.samples.add(row)
        except Exception as error:  # raised in the main thread
            self._failure = error


def _record(recorder: Recorder) -> None:
    try:
        recorder.listen()
        spin(recorder)
    finally:
        recorder.finish()  # SIGINT and SIGTERM end the recording, not the writing


def main(arguments: list[str] | None = None) -> None:
    cv2.setNumThreads(1)  # The processor belongs to the node that is recorded.
    run(Recorder, _record, arguments, WRITING)
