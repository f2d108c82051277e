"""All that belongs to one camera: its topics in and out, what became of its frames."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from regseg_core import Frame, Segmentation, Segmenter
from regseg_core.messages import compressed, uncompressed
from regseg_core.outputs import Output, Style
from regseg_ros import parameters
from regseg_ros.cdr import ReceivedImage, received_image
from regseg_ros.geometry.companion import Companion
from regseg_ros.geometry.pairs import nanoseconds
from regseg_ros.geometry.places import Places, Segmented
from regseg_ros.geometry.transforms import Transforms
from regseg_ros.input import Input
from regseg_ros.interesting import Interesting
from regseg_ros.logs import Warnings
from regseg_ros.mailbox import Mailbox
from regseg_ros.monitor import Monitor
from regseg_ros.names import beside
from regseg_ros.publishing import ToCompress, Topics, publisher
from regseg_ros.settings import CameraSettings, SegmenterSettings, Thresholds
from regseg_ros.statistics import OVER_RATE, REPLACED, FrameStatistics
from regseg_ros.watch import Remark, Watch


@dataclass(frozen=True)
class Arrival:
    """What a camera sent, and when it came in seconds of the monotonic clock.

    `sent`: a CompressedImage, or the bytes of a serialised Image.
    """

    camera: Camera
    sent: bytes | CompressedImage
    received: float

    @cached_property
    def message(self) -> ReceivedImage | Image | CompressedImage:
        """The message; frames that nobody comes to are not read. Raises FrameError."""
        return received_image(self.sent) if isinstance(self.sent, bytes) else self.sent


class Camera:
    """One camera of a node, `name` empty for the only one."""

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        outputs: Mapping[str, Output],
        transforms: Transforms,
        undo: ExitStack,
    ) -> None:
        self._node, self.name = node, name
        self._settings = parameters.read(node, CameraSettings, name)
        self.statistics = FrameStatistics()
        self.input = Input(node, self._settings, self._receive, self._lose)
        create = functools.partial(publisher, node, f"{name}/" if name else "", undo)
        warn = Warnings(node.get_logger())
        self.topics, self._interesting = Topics(outputs, create, warn), Interesting(create, warn)
        info = self._settings.camera_info_topic or beside(self._settings.image_topic, "camera_info")
        self._infos = Companion(node, CameraInfo, info)
        self.places = Places(node, name, self._infos, transforms, create)
        self._rate_parameter = f"{name}.max_rate" if name else "max_rate"
        self._mailbox: Mailbox[Arrival] | None = None
        self._next_due = 0.0
        self._has_published = False

    @property
    def title(self) -> str:
        """For people: what is heard."""
        return f"{self.name} ({self.input.topic})" if self.name else self.input.topic

    def start(
        self, mailbox: Mailbox[Arrival], to_place: Mailbox[Places], lazy: bool, undo: ExitStack
    ) -> None:
        """Leaves its frames in a mailbox, from now on; if lazy, while somebody wants an output.

        Its places are made by who takes from `to_place`.

        Raises rclpy's errors for a topic that has no name in ROS.
        """
        self.statistics, self._has_published, self._next_due = FrameStatistics(), False, 0.0
        limits = parameters.read(self._node, Thresholds)
        self._monitor = Monitor(self._node, self.name, self.statistics, limits)
        self._info_watch = Watch(limits.no_mask_after)
        self._mailbox, self._lazy = mailbox, lazy
        undo.callback(self._close)
        self.places.start(to_place, limits.no_mask_after, undo)
        # Also where nobody listens yet: a wrong name is said at once.
        self.input.open()
        self.attend()

    def attend(self) -> None:
        """Hears the camera while it is to be heard; call it some times a second."""
        wanted = bool(self.wanted()) or not self._lazy
        if wanted and not self.input.is_open:
            self.input.open()
        elif not wanted and self.input.is_open:
            self.input.close()
        self._infos.attend(bool(self.topics.wanted_infos()) or self.places.needs_info())
        self.places.attend()

    def wanted(self) -> list[str]:
        """What somebody subscribes to, of all that needs a segmentation."""
        record_below = self._node.get_parameter("record_below").value
        recorded = self._interesting.wanted(record_below)
        return self.topics.wanted() + self.places.wanted() + recorded

    def frame(self, arrival: Arrival, max_pixels: int) -> Frame:
        """What the camera sent, as it is turned. Raises FrameError."""
        message = arrival.message
        if isinstance(message, CompressedImage):
            frame = compressed.to_frame(message, max_pixels)
        else:
            frame = uncompressed.to_frame(message)
        return replace(frame, rotation=self._settings.rotate)

    def age(self, arrival: Arrival) -> float:
        """Seconds since the image was taken; since it came, where its stamp is 0.

        Raises FrameError.
        """
        if not (taken := nanoseconds(arrival.message.header.stamp)):
            return time.monotonic() - arrival.received
        return float(self._node.get_clock().now().nanoseconds - taken) * 1e-9

    def publish(
        self,
        arrival: Arrival,
        result: Segmentation,
        wanted: list[str],
        settings: SegmenterSettings,
        to_compress: Mailbox[ToCompress],
        backend: str,
    ) -> None:
        """Sends outputs of a segmentation, with the stamp and frame of the camera's image."""
        header = arrival.message.header
        height, width = result.labels.shape
        small = settings.small_size(width, height)
        self.topics.publish(
            result, header, wanted, Style(settings.overlay_alpha, small), to_compress
        )
        info = self._infos.kept.best(nanoseconds(header.stamp))
        if info is not None and self.topics.wanted_infos():
            # The one that waits goes on being the camera's.
            self.topics.publish_info(copy.copy(info), header, result.labels.shape, small)
        self._interesting.consider(arrival.message, result, header, settings, to_compress)
        self.places.put(Segmented(result, header, settings))
        latency = time.monotonic() - arrival.received
        self.statistics.segmented(latency)
        if not self._has_published:
            self._has_published = True
            self._node.get_logger().info(
                f"first mask of {self.title} {latency:.2f} s after its frame, by {backend}"
            )

    def look(self, segment: Segmenter, transport: Sequence[str]) -> DiagnosticStatus:
        """How this camera does; the log says why where it has no masks. Once a second.

        `transport`: what is known to be wrong with it.
        """
        self.input.review()
        wanted = bool(self.wanted())
        status = self._monitor.look(segment, self.input.source, wanted, transport)
        self._monitor.say(self.places.look())
        self._monitor.say(self._look_for_calibrations())
        status.values.append(KeyValue(key="points and ground", value=self.places.trouble or "ok"))
        return status

    def _look_for_calibrations(self) -> Remark | None:
        wanted = self.topics.wanted_infos()

        def reason(_: float) -> str | None:
            if silence := self._infos.silence():
                return f"no {', '.join(wanted)}: no calibration: {silence}"
            return self.topics.uncalibrated or None

        title = f"calibrations of {self.title}"
        return self._info_watch.ask(title, bool(wanted), self.topics.calibrated, reason)

    def summary(self, segment: Segmenter) -> str:
        """What became of its frames, in a line."""
        return self._monitor.summary(self.title, segment.health.backend)

    def _lose(self, frames: int) -> None:
        self.statistics.lose(frames)

    def _receive(self, sent: bytes | CompressedImage) -> None:
        """In the executor's thread."""
        assert self._mailbox is not None
        now = time.monotonic()
        self.statistics.count("received")
        rate = self._node.get_parameter(self._rate_parameter).value
        if rate > 0:
            # No later than at this rate, which may have been lower before.
            self._next_due = min(self._next_due, now + 1 / rate)
            if now < self._next_due:
                self.statistics.count("dropped", OVER_RATE)
                return
            # By appointment, not by distance: of 15 frames a second, every third goes at 10.
            self._next_due = max(self._next_due, now - 1 / rate) + 1 / rate
        if self._mailbox.put(self, Arrival(self, sent, now)) is not None:
            self.statistics.count("dropped", REPLACED)

    def _close(self) -> None:
        self.input.close()
        self._infos.attend(False)
