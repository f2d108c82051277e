"""Looks at one camera once a second: its status, and a warning where masks are missing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from regseg_core import Segmenter
from regseg_ros.diagnostics import status_message, status_name, summary
from regseg_ros.graph import conflicts, image_topics, namesakes, offers
from regseg_ros.input import Source
from regseg_ros.settings import Thresholds
from regseg_ros.statistics import FrameStatistics
from regseg_ros.watch import Remark, Watch
from regseg_ros.why import Situation, why


class Monitor:
    """What becomes of one camera's masks. `camera`: its name, empty where it has none."""

    def __init__(
        self,
        node: Node,
        camera: str,
        statistics: FrameStatistics,
        limits: Thresholds,
    ) -> None:
        self._node, self._statistics = node, statistics
        self._name = status_name(node.get_fully_qualified_name(), camera)
        self._limits, self._watch = limits, Watch(limits.no_mask_after)

    def look(
        self,
        segment: Segmenter,
        source: Source,
        wanted: bool,
        transport: Sequence[str],
    ) -> DiagnosticStatus:
        """Its status; logs why masks are missing, and when they are back.

        `wanted`: whether somebody subscribes to an output. `transport`: as for Situation.
        """
        report, health = self._statistics.report(), segment.health
        now, making = time.monotonic(), dict(health.compiling)

        def reason(seconds: float) -> str | None:
            return why(
                Situation(
                    topic=source.topic,
                    expected=source.type,
                    seconds=seconds,
                    report=report,
                    offers=offers(self._node, source.topic, source.qos),
                    images=image_topics(self._node),
                    compiling="; ".join(making),
                    compiling_for=now - min(making.values(), default=now),
                    backend_failures=list(health.failures),
                    transport=transport,
                )
            )

        title = f"masks of {source.topic}"
        self.say(self._watch.ask(title, wanted, report.totals["segmented"], reason))
        return status_message(
            report,
            self._limits,
            self._name,
            source.topic,
            self._watch.wanted_for,
            segment.description,
            health,
        )

    def say(self, remark: Remark | None) -> None:
        """Into the log."""
        if remark is None:
            return
        # rclpy wants a line of its own for each severity.
        if remark.warning:
            self._node.get_logger().warning(remark.text)
        else:
            self._node.get_logger().info(remark.text)

    def summary(self, topic: str, backend: str) -> str:
        """What became of the frames since the start, in a line."""
        return summary(topic, self._statistics.report(), backend)


class Namesakes:
    """Warns of nodes of one name: all of them publish, so that readers get every mask twice."""

    def __init__(self, node: Node) -> None:
        self._node, self._others = node, 0

    def look(self) -> None:
        """Says it once, and once when it is over."""
        others, before = namesakes(self._node), self._others
        self._others = others
        name, logger = self._node.get_fully_qualified_name(), self._node.get_logger()
        if others > before:
            logger.warning(
                f"{others + 1} nodes are called {name}, this one and {others} more: all of them"
                " publish on the same topics, so readers get each mask more than once, and services"
                " answer for any of them. Give each a name (name:=... or __node:=...); one that was"
                " killed goes from the graph within 20 s"
            )
        elif before and not others:
            logger.info(f"no other node is called {name} any more")


class Unheard:
    """Warns of readers of this node's topics whose QoS does not fit: they hear nothing."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: set[str] = set()

    def look(self) -> None:
        """Says it once, and again of a reader that has gone and comes back."""
        found = {
            f"{topic}: {conflict}"
            for publisher in self._node.publishers
            if self._node.count_subscribers(topic := publisher.topic_name)
            > publisher.get_subscription_count()
            for conflict in conflicts(self._node, topic)
        }
        for conflict in sorted(found - self._known):
            self._node.get_logger().warning(
                f"{conflict}: change the reader's QoS, or the node's by its qos_overrides"
            )
        self._known = found
