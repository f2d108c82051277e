"""What a camera sends: which of its topics is heard, as which type and how reliably."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from regseg_ros.settings import CameraSettings

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # its name in Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

#: A slow network skips frames, it never queues them.
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)

#: So many frames that the transport loses, in so many reviews, are no accident of the start.
_LOSSES, _REVIEWS = 5, 5

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


class Input:
    """Subscribes to a camera between `open` and `close`; `review` lets it choose anew."""

    def __init__(
        self, node: Node, settings: CameraSettings, deliver: Callable[[Any], None]
    ) -> None:
        self._node, self._settings, self._deliver = node, settings, deliver
        self._subscription: Any = None
        self._compressed = settings.image_transport == "compressed"
        self._reliable = settings.qos == "reliable"
        self._came = False
        self._lost: deque[int] = deque([0], maxlen=_REVIEWS)
        #: All that were lost, and the policy for which publishers did not fit, if any.
        self.lost_total = 0
        self.incompatible = ""

    @property
    def is_open(self) -> bool:
        """Whether the camera is heard."""
        return self._subscription is not None

    @property
    def topic(self) -> str:
        """The topic that is heard, by the name that the graph knows."""
        return self._resolved(self._compressed)

    @property
    def kind(self) -> str:
        """The type of the messages, such as sensor_msgs/msg/Image."""
        return _COMPRESSED if self._compressed else _IMAGE

    @property
    def qos(self) -> QoSProfile:
        """What is asked for, but for `qos_overrides`."""
        return RELIABLE if self._reliable else BEST_EFFORT

    def open(self) -> None:
        """Hears the camera. Raises rclpy's errors for a topic that has no name in ROS."""
        if self._settings.image_transport == "auto":
            self._compressed = self._only_compressed_is_published()
        self._subscribe()

    def close(self) -> None:
        """Hears it no more."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def review(self) -> None:
        """Goes over to what the publishers need; call it about once a second."""
        if not self.is_open:
            return
        if self._settings.image_transport == "auto" and not self._came:
            self._review_transport()
        if self._settings.qos == "auto":
            self._review_reliability()
        self._came = False
        self._lost.append(0)

    def _review_transport(self) -> None:
        compressed = self._only_compressed_is_published()
        if compressed != self._compressed:
            self._compressed = compressed
            self._say(f"hearing {self.topic} from now on: the other transport has no publisher")
            self._subscribe()

    def _review_reliability(self) -> None:
        if self._reliable and self.incompatible:
            self._reliable = False
            self._say(f"hearing {self.topic} at best effort again: a publisher offers no more")
            self._subscribe()
        elif not self._reliable and not self.incompatible and sum(self._lost) >= _LOSSES:
            offered = {info.qos_profile.reliability for info in self._publishers()}
            if offered == {ReliabilityPolicy.RELIABLE}:
                self._reliable = True
                self._say(
                    f"hearing {self.topic} reliably from now on: the transport has lost"
                    f" {sum(self._lost)} frames in {len(self._lost)} s"
                )
                self._subscribe()

    def _subscribe(self) -> None:
        self.close()
        self._subscription = self._node.create_subscription(
            CompressedImage if self._compressed else Image,
            self._topic(self._compressed),
            self._on_message,
            self.qos,
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=self._on_lost, incompatible_qos=self._on_incompatible
            ),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _on_message(self, message: Any) -> None:
        self._came = True
        self._deliver(message)

    def _on_lost(self, event: Any) -> None:
        self._lost[-1] += event.total_count_change
        self.lost_total += event.total_count_change

    def _on_incompatible(self, event: Any) -> None:
        self.incompatible = str(event.last_policy_kind)

    def _topic(self, compressed: bool) -> str:
        return (
            f"{self._settings.image_topic}/compressed" if compressed else self._settings.image_topic
        )

    def _resolved(self, compressed: bool) -> str:
        return str(self._node.resolve_topic_name(self._topic(compressed)))

    def _publishers(self) -> list[Any]:
        found = self._node.get_publishers_info_by_topic(self.topic)
        return [info for info in found if info.topic_type == self.kind]

    def _only_compressed_is_published(self) -> bool:
        raw, compressed = (
            {info.topic_type for info in self._node.get_publishers_info_by_topic(topic)}
            for topic in (self._resolved(False), self._resolved(True))
        )
        return _IMAGE not in raw and _COMPRESSED in compressed

    def _say(self, text: str) -> None:
        self._node.get_logger().info(text)
