"""`ros2 run regseg_ros doctor [TOPIC]`: one verdict a line; exit code 1 where one is FAIL."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args

from regseg_ros.doctor import machine, topics
from regseg_ros.doctor.nodes import Nodes
from regseg_ros.doctor.verdict import Verdict, fail, ok, show
from regseg_ros.graph import image_topics
from regseg_ros.why import unheard

#: Seconds to look round at least: nodes speak on /diagnostics once in one.
_LOOK_ROUND = 1.2
#: Seconds until whoever is not seen is not there: who has missed our first words hears the next
#: after three.
_DISCOVERY = 4.0
_LISTENING = 3.0
#: Topics that are listened to where none is given.
_TOPICS = 6


def examine(node: Node, topic: str | None, seconds: float) -> list[Verdict]:
    """Everything there is to say, after some seconds."""
    with ThreadPoolExecutor(1) as pool:
        here = pool.submit(machine.verdicts)
        nodes = Nodes(node)
        _spin(node, _LOOK_ROUND, nodes.ask)
        _spin(node, _DISCOVERY - _LOOK_ROUND, lambda: bool(_cameras(node, nodes, topic)))
        clock, images = _clock(node), _cameras(node, nodes)
        chosen = [topic] if topic else (nodes.topics or list(images)[:_TOPICS])
        listeners = [topics.Listener(node, name) for name in chosen]
        _spin(node, seconds, nodes.ask)
        found = [*here.result(), *clock, *nodes.verdicts()]
    for listener in listeners:
        found += topics.verdicts(node, listener, images, ())
    if not chosen:
        found.append(fail("topic", f"no image topic: {unheard('', '', [], {})}"))
    return found


def _cameras(node: Node, nodes: Nodes, topic: str | None = None) -> dict[str, str]:
    """Image topics, or that one, without the masks of the segmenting nodes."""
    return {
        name: kind
        for name, kind in image_topics(node).items()
        if topic in (None, name) and not any(name.startswith(f"{other}/") for other in nodes.names)
    }


def _clock(node: Node) -> list[Verdict]:
    """Goes by the simulator's clock where there is one."""
    if not node.count_publishers("/clock"):
        return []
    node.set_parameters([Parameter("use_sim_time", value=True)])
    return [ok("clock", "/clock is published: stamps are held against it; set use_sim_time")]


def _spin(node: Node, seconds: float, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and node.context.ok() and not ready():
        rclpy.spin_once(node, timeout_sec=min(left, 0.1))


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="ros2 run regseg_ros doctor", description=__doc__)
    parser.add_argument(
        "topic", nargs="?", help="camera topic; all image topics where none is given"
    )
    parser.add_argument("--seconds", type=float, default=_LISTENING, help="how long to listen")
    options = parser.parse_args(remove_ros_args([parser.prog, *arguments])[1:])
    rclpy.init(args=arguments)
    node = Node("regseg_doctor")
    code = 1
    try:
        code = show(examine(node, options.topic, options.seconds))
    except (KeyboardInterrupt, RuntimeError):
        if rclpy.ok():
            raise  # else a signal has taken the context away, and what came of it is rclpy's
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    sys.exit(code)


if __name__ == "__main__":
    main()
