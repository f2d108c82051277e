"""Frames that the network is unsure of, for a recorder: what is worth labelling by hand."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.lifecycle import Publisher
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from regseg_core import Segmentation
from regseg_core.outputs import JPEG, Output, Style
from regseg_ros.mailbox import Mailbox
from regseg_ros.publishing import ToCompress
from regseg_ros.settings import SegmenterSettings

#: The camera's image as it is; what came compressed goes out as it came.
_IMAGE = Output("rgb8", lambda result, _: result.frame.rgb(), JPEG)


class Interesting:
    """The topic `~/interesting` of one camera. `warn` says why nothing can go there."""

    def __init__(
        self, create: Callable[[type, str], Publisher], warn: Callable[[str], None]
    ) -> None:
        self._publisher, self._warn = create(CompressedImage, "interesting"), warn
        self._next = 0.0

    def wanted(self, record_below: float) -> list[str]:
        """Its name, where somebody records it."""
        there = record_below > 0 and self._publisher.get_subscription_count()
        return ["interesting"] if there else []

    def consider(
        self,
        sent: object,
        result: Segmentation,
        header: Header,
        settings: SegmenterSettings,
        to_compress: Mailbox[ToCompress],
    ) -> None:
        """Sends a frame whose mean confidence is too low, if it is time for another one.

        `sent`: the camera's message; one that is not compressed is left to another thread.
        """
        now = time.monotonic()
        if now < self._next or not self.wanted(settings.record_below):
            return
        if result.mean_confidence is None:
            self._warn(
                f"no {self._publisher.topic_name}: record_below needs confidence, which is off"
            )
        elif result.mean_confidence < settings.record_below:
            self._next = now + settings.record_interval
            if isinstance(sent, CompressedImage):
                self._publisher.publish(sent)
            else:
                item = ToCompress(self._publisher, _IMAGE, result, Style(), header)
                to_compress.put(self._publisher, item)
