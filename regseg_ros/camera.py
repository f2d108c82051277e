"""All that belongs to one camera: its topic in, its topics out, what became of its frames."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from regseg_core import Segmentation, Segmenter
from regseg_core.outputs import Output
from regseg_ros.diagnostics import Thresholds
from regseg_ros.mailbox import Mailbox
from regseg_ros.messages import image_message
from regseg_ros.monitor import Monitor, Source
from regseg_ros.statistics import FrameStatistics

INPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
OUTPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class Arrival:
    """A camera's message, and when it came in seconds of the monotonic clock."""

    camera: Camera
    message: Image
    received: float


class Camera:
    """One camera of a node. Its publishers are there until `undo` is closed."""

    def __init__(
        self,
        node: LifecycleNode,
        segment: Segmenter,
        topic: str,
        outputs: Mapping[str, Output],
        undo: ExitStack,
    ) -> None:
        self._node, self._segment, self._topic, self._outputs = node, segment, topic, outputs
        self.statistics = FrameStatistics()
        #: The topic by the name that the graph knows.
        self._resolved = topic
        self._has_published = False
        self._publishers: dict[str, Any] = {}
        for name in outputs:
            publisher = node.create_lifecycle_publisher(
                Image,
                f"~/{name}",
                OUTPUT_QOS,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            undo.callback(node.destroy_lifecycle_publisher, publisher)
            self._publishers[name] = publisher

    @property
    def topics(self) -> str:
        """What comes in, and what goes out, with the names that the graph knows."""
        outputs = ", ".join(publisher.topic_name for publisher in self._publishers.values())
        return f"{self._resolved} -> {outputs}"

    def subscribe(self, mailbox: Mailbox[Arrival], undo: ExitStack) -> None:
        """Leaves each image in a mailbox, from now on."""
        self.statistics, self._has_published = FrameStatistics(), False
        self._monitor = Monitor(self._node, "", self._segment, self.statistics, Thresholds())

        def on_image(message: Image) -> None:
            arrival = Arrival(self, message, time.monotonic())
            self.statistics.count("received")
            if mailbox.put(self, arrival):
                self.statistics.count("dropped")

        subscription = self._node.create_subscription(
            Image,
            self._topic,
            on_image,
            INPUT_QOS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=lambda lost: self.statistics.lose(lost.total_count_change)
            ),
        )
        undo.callback(self._node.destroy_subscription, subscription)
        self._resolved = subscription.topic_name

    def wanted(self) -> list[str]:
        """The outputs that somebody subscribes to."""
        return [name for name, p in self._publishers.items() if p.get_subscription_count()]

    def publish(
        self, arrival: Arrival, result: Segmentation, names: list[str], alpha: float
    ) -> None:
        """Sends outputs of a segmentation, with the stamp and frame of the camera's image."""
        for name in names:
            output = self._outputs[name]
            pixels = output.pixels(result, alpha)
            assert pixels is not None
            message = image_message(pixels, output.encoding, arrival.message.header)
            self._publishers[name].publish(message)
        latency = time.monotonic() - arrival.received
        self.statistics.segmented(latency)
        if not self._has_published:
            self._has_published = True
            self._node.get_logger().info(
                f"first mask of {self._resolved} {latency:.2f} s after its frame,"
                f" by {self._segment.health.backend}"
            )

    def look(self) -> DiagnosticStatus:
        """How this camera does; says why where it has no masks."""
        return self._monitor.look(Source(self._resolved, INPUT_QOS), bool(self.wanted()))

    def summary(self) -> str:
        """What became of its frames, in a line."""
        return self._monitor.summary(self._resolved)
