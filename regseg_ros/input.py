"""What a camera sends: which of its topics is heard, as which type and how reliably."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from regseg_ros.settings import CameraSettings
from regseg_ros.transport import is_fast_dds
from regseg_ros.why import COMPRESSED, IMAGE

try:
    from rclpy.event_handler import SubscriptionEventCallbacks as SubscriptionEventCallbacks
except ImportError:  # its name in Humble
    from rclpy.qos_event import SubscriptionEventCallbacks as SubscriptionEventCallbacks

#: A slow network skips frames, it never queues them.
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)

#: Not reliability, which is the parameter `qos`: an override is declared with the first value, and
#: would undo what `auto` goes over to.
_OVERRIDES = QoSOverridingOptions((QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH))

#: So many frames that the transport loses, in so many reviews, are no accident of the start.
LOSSES, REVIEWS = 5, 5


@dataclass(frozen=True)
class Source:
    """What is heard: a topic by the name that the graph knows, its type, its QoS."""

    topic: str
    qos: QoSProfile
    type: str = IMAGE


class Input:
    """Subscribes to a camera between `open` and `close`; `review` lets it choose anew.

    `deliver` gets CompressedImage messages, and images as the bytes of serialised ones.
    """

    def __init__(
        self,
        node: Node,
        settings: CameraSettings,
        deliver: Callable[[Any], None],
        lose: Callable[[int], None],
    ) -> None:
        self._node, self._settings, self._deliver, self._lose = node, settings, deliver, lose
        self._subscription: Any = None
        self._compressed = settings.image_transport == "compressed"
        self._reliable = settings.qos == "reliable"
        self._came = False
        self._lost: deque[int] = deque([0], maxlen=REVIEWS)
        self._incompatible = False

    @property
    def is_open(self) -> bool:
        """Whether the camera is heard."""
        return self._subscription is not None

    @property
    def source(self) -> Source:
        """What is heard now, or would be."""
        kind = COMPRESSED if self._compressed else IMAGE
        return Source(
            self._resolved(self._compressed), RELIABLE if self._reliable else BEST_EFFORT, kind
        )

    @property
    def topic(self) -> str:
        """That of `source`."""
        return self.source.topic

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
        if self._reliable and self._incompatible:
            self._reliable = False
            self._say(f"hearing {self.topic} at best effort again: a publisher offers no more")
            self._subscribe()
        elif not self._reliable and not self._incompatible and sum(self._lost) >= LOSSES:
            publishers = self._publishers()
            offered = {info.qos_profile.reliability for info in publishers}
            ours = all(is_fast_dds(info.endpoint_gid) for info in publishers)
            if ours and offered == {ReliabilityPolicy.RELIABLE}:
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
            self.source.qos,
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=self._on_lost, incompatible_qos=self._on_incompatible
            ),
            raw=not self._compressed,
            qos_overriding_options=_OVERRIDES,
        )

    def _on_message(self, message: Any) -> None:
        self._came = True
        self._deliver(message)

    def _on_lost(self, event: Any) -> None:
        self._lost[-1] += event.total_count_change
        self._lose(event.total_count_change)

    def _on_incompatible(self, event: Any) -> None:
        self._incompatible = True

    def _topic(self, compressed: bool) -> str:
        return (
            f"{self._settings.image_topic}/compressed" if compressed else self._settings.image_topic
        )

    def _resolved(self, compressed: bool) -> str:
        return str(self._node.resolve_topic_name(self._topic(compressed)))

    def _publishers(self) -> list[Any]:
        found = self._node.get_publishers_info_by_topic(self.topic)
        return [info for info in found if info.topic_type == self.source.type]

    def _only_compressed_is_published(self) -> bool:
        raw, compressed = (
            {info.topic_type for info in self._node.get_publishers_info_by_topic(topic)}
            for topic in (self._resolved(False), self._resolved(True))
        )
        return IMAGE not in raw and COMPRESSED in compressed

    def _say(self, text: str) -> None:
        self._node.get_logger().info(text)
