"""A camera for trying things out: publishes a folder, a video, a device or the synthetic street."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tqdm import tqdm

from regseg_core.arrays import Image as Pixels
from regseg_core.data.synthetic import STREET, SyntheticStreet
from regseg_core.encodings import ENCODINGS
from regseg_core.files import write_bytes
from regseg_core.media import MediaError, list_images, read_image, read_video
from regseg_ros.messages import image_message
from regseg_ros.parameters import Declared, declare, real, whole
from regseg_ros.process import run

#: Camera drivers publish with the system's default (REP 2003).
CAMERA_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)

_MANY = 2**31 - 1

PARAMETERS = {
    "source": Declared(
        STREET,
        "Folder of images, video, number of a camera device, or 'street', the synthetic one.",
        # A device number may come as a number.
        {"dynamic_typing": True},
    ),
    "image_topic": Declared("/camera/image_raw", "Topic to publish on."),
    "rate": Declared(15.0, "Frames a second.", real(0.1, 1000.0)),
    "encoding": Declared("bgr8", f"One of {', '.join(ENCODINGS)}."),
    "frame_id": Declared("camera", "Frame of the images' headers."),
    "loop": Declared(False, "Begin again at the end of a folder or video."),
    "frames": Declared(0, "Stop after so many; 0: at the end of the source.", whole(0, _MANY)),
    "width": Declared(480, "Columns of the synthetic street.", whole(32, 8192)),
    "height": Declared(360, "Rows of the synthetic street.", whole(32, 8192)),
    "wait_for_subscribers": Declared(0, "Begin once so many listen.", whole(0, _MANY)),
    "report": Declared("", "JSON file for the number of frames sent; empty: none."),
}


def check_source(source: str) -> None:
    """Raises MediaError for a source that is not there."""
    if source != STREET and not source.isdecimal() and not Path(source).expanduser().exists():
        raise MediaError(
            f"no source {source!r}: give a folder, a video, a device number or {STREET!r}"
        )


def open_source(source: str, rate: float, size: tuple[int, int], loop: bool) -> Iterator[Pixels]:
    """H x W x 3 uint8 RGB frames of a source; `size` is width and height of the street.

    Raises MediaError where there is nothing to read.
    """
    if source == STREET:
        return (image for image, _ in SyntheticStreet(*size).frames(rate))
    if source.isdecimal():
        return read_video(int(source))
    check_source(source)
    path = Path(source).expanduser()
    once: Callable[[], Iterator[Pixels]]
    if path.is_dir():
        images = list_images(path)
        once = lambda: map(read_image, images)  # noqa: E731
    else:
        once = lambda: read_video(path)  # noqa: E731
    return chain.from_iterable(once() for _ in repeat(None)) if loop else once()


class VideoSource(Node):
    """Publishes the frames of one source at a steady rate, stamped when they are sent."""

    def __init__(self) -> None:
        super().__init__("video_source")
        declare(self, PARAMETERS)
        self.encoding = str(self._value("encoding"))
        if self.encoding not in ENCODINGS:
            raise MediaError(f"encoding {self.encoding!r}: give one of {', '.join(ENCODINGS)}")
        self.rate = float(self._value("rate"))
        self.limit = int(self._value("frames"))
        frames = open_source(
            str(self._value("source")),
            self.rate,
            (int(self._value("width")), int(self._value("height"))),
            bool(self._value("loop")),
        )
        self.frames = islice(frames, self.limit or None)
        self.sent = 0
        self.publisher = self.create_publisher(
            Image,
            str(self._value("image_topic")),
            CAMERA_QOS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def run(self) -> None:
        """Sends every frame and reports. Raises MediaError for one that cannot be read."""
        self._wait()
        endless = self._value("source") == STREET
        total = self.limit if endless and self.limit else None
        progress = tqdm(total=total, unit="frame", desc="sending", mininterval=1)
        due = time.monotonic()
        for image in self.frames:
            pixels = ENCODINGS[self.encoding].from_rgb(image)
            # Waiting inside rclpy, so that a signal ends it at once.
            while (early := due - time.monotonic()) > 0 and self.context.ok():
                rclpy.spin_once(self, timeout_sec=early)
            if not self.context.ok():
                break
            due = max(due + 1 / self.rate, time.monotonic())
            stamp = self.get_clock().now().to_msg()
            header = Header(stamp=stamp, frame_id=str(self._value("frame_id")))
            self.publisher.publish(image_message(pixels, self.encoding, header))
            self.sent += 1
            progress.update()
        progress.close()
        if self.context.ok():
            # The last frame must leave before the process does.
            self.publisher.wait_for_all_acked(Duration(seconds=2))
        if path := str(self._value("report")):
            write_bytes(path, json.dumps({"sent": self.sent}).encode())

    def _wait(self) -> None:
        wanted = int(self._value("wait_for_subscribers"))
        while self.publisher.get_subscription_count() < wanted:
            rclpy.spin_once(self, timeout_sec=0.1)


def main(arguments: list[str] | None = None) -> None:
    run(VideoSource, VideoSource.run, arguments)


if __name__ == "__main__":
    main()
