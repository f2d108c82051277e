"""A camera for trying things out: publishes a folder, a video, a device or the synthetic street."""

from __future__ import annotations

if __name__ == "__main__":
    from regseg_ros import entry

    entry.video_source()  # catches signals first: the imports below take seconds
    raise SystemExit

import json
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path

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
from regseg_core.media import CutOffError, MediaError, list_images, read_image, read_video
from regseg_ros.cdr import serialized_image
from regseg_ros.lens import Lens
from regseg_ros.parameters import declare, read
from regseg_ros.process import run
from regseg_ros.settings import SourceSettings

#: Camera drivers publish with the system's default (REP 2003).
CAMERA_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


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
    return _again_and_again(once) if loop else once()


def _again_and_again(once: Callable[[], Iterator[Pixels]]) -> Iterator[Pixels]:
    while True:
        try:
            yield from once()
        except CutOffError as error:  # what there is of it is shown again, too
            tqdm.write(f"warning: {error}")


class VideoSource(Node):
    """Publishes the frames of one source at a steady rate, stamped when they are sent."""

    def __init__(self) -> None:
        super().__init__("video_source")
        declare(self, SourceSettings)
        self.settings = settings = read(self, SourceSettings)
        if settings.encoding not in ENCODINGS:
            raise MediaError(f"encoding {settings.encoding!r}: give one of {', '.join(ENCODINGS)}")
        # A device number may come as a number.
        self.source = str(settings.source)
        size = (settings.width, settings.height)
        frames = open_source(self.source, settings.rate, size, settings.loop)
        frames = islice(frames, settings.frames or None)
        self.frames = chain(list(islice(frames, settings.ahead)), frames)
        self.sent, self._due = 0, time.monotonic()
        self.publisher = self.create_publisher(
            Image,
            settings.image_topic,
            CAMERA_QOS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self.lens = Lens(self, settings, CAMERA_QOS)

    def run(self) -> None:
        """Sends every frame and reports. Raises MediaError for one that cannot be read.

        A video that is cut off is sent as far as it goes, and reported, before the error is raised.
        """
        self._wait()
        settings = self.settings
        endless = self.source == STREET
        total = settings.frames if endless and settings.frames else None
        try:
            for image in tqdm(self.frames, "sending", total, unit="frame", mininterval=1):
                self._send(image)
                if not self.context.ok():
                    break
        except CutOffError:
            self._report()
            raise
        self._report()

    def _send(self, image: Pixels) -> None:
        encoding = ENCODINGS[self.settings.encoding]
        pixels = encoding.from_rgb(image)
        # Waiting inside rclpy, so that a signal ends it at once.
        while (early := self._due - time.monotonic()) > 0 and self.context.ok():
            rclpy.spin_once(self, timeout_sec=early)
        if not self.context.ok():
            return
        self._due += 1 / self.settings.rate
        if self._due < (now := time.monotonic()):  # late by more than a frame: none goes at once
            self._due = now + 1 / self.settings.rate
        stamp = self.get_clock().now().to_msg()
        header = Header(stamp=stamp, frame_id=self.settings.frame_id)
        self.publisher.publish(serialized_image(pixels, encoding.name, header))
        height, width = encoding.check(pixels)
        self.lens.publish(header, width, height, self.sent)
        self.sent += 1

    def _report(self) -> None:
        if self.context.ok():
            # The last frame must leave before the process does.
            self.publisher.wait_for_all_acked(Duration(seconds=2))
        if path := self.settings.report:
            write_bytes(path, json.dumps({"sent": self.sent}).encode())

    def _wait(self) -> None:
        while self.publisher.get_subscription_count() < self.settings.wait_for_subscribers:
            rclpy.spin_once(self, timeout_sec=0.1)


def main(arguments: list[str] | None = None) -> None:
    run(VideoSource, VideoSource.run, arguments)
