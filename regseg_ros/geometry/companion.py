"""A sensor that looks with a camera: its newest messages, and why there are none."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from regseg_ros.geometry.pairs import Kept, nanoseconds
from regseg_ros.input import LOSSES, REVIEWS, SubscriptionEventCallbacks
from regseg_ros.names import refuse_wrong

#: Best effort hears every publisher; some messages wait while others are worked on.
_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
#: Seconds after which a sensor counts as silent.
_SILENT = 2.0


class Companion:
    """Heard while it is wanted. `arrived` is called in the executor's thread.

    Raises ArgumentError for a topic that has no name in ROS.
    """

    def __init__(
        self, node: Node, kind: Any, topic: str, arrived: Callable[[], None] = lambda: None
    ) -> None:
        if topic:
            # At once: later it would fail again and again, and no camera after it would be heard.
            refuse_wrong(node, topic)
        self._node, self._kind, self._arrived = node, kind, arrived
        self.topic = topic
        #: Its messages, by their stamps.
        self.kept: Kept[Any] = Kept()
        self._subscription: Any = None
        self._last = self._since = 0.0
        #: Messages that came and that were lost, by look.
        self._came: deque[int] = deque([0], maxlen=REVIEWS)
        self._lost: deque[int] = deque([0], maxlen=REVIEWS)

    def attend(self, wanted: bool) -> None:
        """Begins or ends to hear it."""
        if wanted and self._subscription is None and self.topic:
            self._since = time.monotonic()
            self._subscription = self._node.create_subscription(
                self._kind,
                self.topic,
                self._keep,
                _QOS,
                event_callbacks=SubscriptionEventCallbacks(message_lost=self._on_lost),
            )
        elif not wanted and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
            self.kept.clear()

    @property
    def is_heard(self) -> bool:
        """Whether messages come."""
        return time.monotonic() - self._last < _SILENT

    def silence(self) -> str:
        """Why nothing comes, or since when; empty where something does."""
        if self.is_heard:
            return ""
        now = time.monotonic()
        resolved = str(self._node.resolve_topic_name(self.topic))
        if not self._node.count_publishers(resolved):
            return f"nobody publishes {resolved}"
        if self._last > self._since:
            return f"nothing comes on {resolved} for {now - self._last:.0f} s"
        return f"nothing comes on {resolved}, which has a publisher: is it a {self._name()}?"

    def loss(self) -> str:
        """What the transport loses where that is most of it; call it once a second."""
        came, lost = sum(self._came), sum(self._lost)
        self._came.append(0)
        self._lost.append(0)
        if lost < LOSSES or lost <= came:
            return ""
        return (
            f"the transport loses {lost} of {lost + came} messages on {self.topic}: start its"
            " driver with config/fastdds.xml, see docs/transport.md"
        )

    def _on_lost(self, event: Any) -> None:
        self._lost[-1] += event.total_count_change

    def _name(self) -> str:
        return f"{self._kind.__module__.partition('.')[0]}/{self._kind.__name__}"

    def _keep(self, message: Any) -> None:
        self._last = time.monotonic()
        self._came[-1] += 1
        self.kept.add(nanoseconds(message.header.stamp), message)
        self._arrived()
