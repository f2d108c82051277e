"""`ros2 run regseg_ros doctor [TOPIC]`: one verdict a line; exit code 1 where one is FAIL."""

from __future__ import annotations

if __name__ == "__main__":
    from regseg_ros import entry

    entry.doctor()  # catches signals first: the imports below take seconds
    raise SystemExit

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from regseg_ros import signals
from regseg_ros.doctor import machine, topics
from regseg_ros.doctor.nodes import Nodes
from regseg_ros.doctor.verdict import Verdict, fail, ok, show, warn
from regseg_ros.graph import image_topics
from regseg_ros.process import ENDING
from regseg_ros.transport import Finding, Severity, findings, warnings
from regseg_ros.why import unheard

#: Seconds in which whoever is there is seen: who has missed our first words hears the next after
#: three.
_DISCOVERY = 4.0
#: Seconds in which a node speaks on /diagnostics.
_ROUND = 1.2
_LISTENING = 3.0
#: Topics that are listened to where none is given.
_TOPICS = 6


class Examination:
    """Looks and listens from now on; `topic` alone, or where it is None what cameras there are."""

    def __init__(self, node: Node, topic: str | None, transport: Sequence[str]) -> None:
        self._node, self._topic, self._transport = node, topic, transport
        self._nodes = Nodes(node)
        self._listeners: dict[str, topics.Listener] = {}
        self._simulated = False
        self._started = self._heard_more = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Until each camera that is there has been listened to for so long."""
        while not self._is_done(seconds) and self._node.context.ok():
            rclpy.spin_once(self._node, timeout_sec=0.1)
            self._nodes.ask()
            self._follow_the_clock()
            there = self._images()
            for name in self._chosen(there):
                if name in there and name not in self._listeners:
                    self._listeners[name] = topics.Listener(self._node, name)
                    self._heard_more = time.monotonic()

    def verdicts(self) -> list[Verdict]:
        """What there is to say of nodes and topics."""
        images = self._images()
        found = self._nodes.verdicts()
        if self._simulated:
            found.append(
                ok("clock", "/clock is published, and stamps are held against it: set use_sim_time")
            )
        for name in (chosen := self._chosen(images)):
            listener = self._listeners.get(name) or topics.Listener(self._node, name)
            found += topics.verdicts(self._node, listener, images, self._transport)
        if not chosen:
            found.append(fail("topic", f"no image topic: {unheard('', '', [], {})}"))
        return found

    def _follow_the_clock(self) -> None:
        """Goes by the simulator's where there is one."""
        if not self._simulated and self._node.count_publishers("/clock"):
            self._simulated = True
            self._node.set_parameters([Parameter("use_sim_time", value=True)])
            for listener in self._listeners.values():
                listener.frames.clear()
            self._heard_more = time.monotonic()

    def _is_done(self, seconds: float) -> bool:
        now = time.monotonic()
        if not self._listeners:
            return now - self._started >= _DISCOVERY
        return now - self._started >= _ROUND + seconds and now - self._heard_more >= seconds

    def _chosen(self, images: Mapping[str, str]) -> list[str]:
        return [self._topic] if self._topic else (self._nodes.topics or list(images)[:_TOPICS])

    def _images(self) -> dict[str, str]:
        """Image topics, without the masks of the segmenting nodes."""
        names = self._nodes.names
        return {
            topic: kind
            for topic, kind in image_topics(self._node).items()
            if not any(topic.startswith(f"{name}/") for name in names)
        }


def examine(
    node: Node, topic: str | None, seconds: float, transport: Sequence[Finding]
) -> list[Verdict]:
    """Everything there is to say, after some seconds. `transport`: what is wrong with it."""
    with ThreadPoolExecutor(1) as pool:
        here = pool.submit(machine.verdicts)
        examination = Examination(node, topic, warnings(transport))
        examination.wait(seconds)
        return [*here.result(), *_of_transport(transport), *examination.verdicts()]


def _of_transport(transport: Sequence[Finding]) -> list[Verdict]:
    found = [
        (warn if finding.severity is Severity.WARNING else ok)("transport", str(finding))
        for finding in transport
    ]
    return found or [ok("transport", "shared memory fits images")]


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="ros2 run regseg_ros doctor", description=__doc__)
    parser.add_argument(
        "topic", nargs="?", help="camera topic; all image topics where none is given"
    )
    parser.add_argument("--seconds", type=float, default=_LISTENING, help="how long to listen")
    options = parser.parse_args(remove_ros_args([parser.prog, *arguments])[1:])
    transport = findings(os.environ)  # before the participant takes its part of the shared memory
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    signals.end_by(rclpy.try_shutdown, ENDING)
    node = Node("regseg_doctor")
    code = 1
    try:
        code = show(examine(node, options.topic, options.seconds, transport))
    except RuntimeError:
        if rclpy.ok():
            raise  # else a signal has taken the context away, and what came of it is rclpy's
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    sys.exit(code)
