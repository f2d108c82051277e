"""How every node of this package starts and ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from regseg_core.files import FileError

#: Seconds after which a signal is noticed at the latest. One that comes between two waits can be
#: lost to rclpy's executor, which then waits for ever in a node without timers.
_NOTICE = 0.5

NodeType = TypeVar("NodeType", bound=Node)


def spin(node: Node) -> None:
    """Lets a node's callbacks run until the context ends."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    while node.context.ok():
        executor.spin_once(timeout_sec=_NOTICE)


def run(
    make: Callable[[], NodeType],
    work: Callable[[NodeType], None],
    arguments: list[str] | None = None,
) -> None:
    """Makes a node and lets it work until it is done, or SIGINT or SIGTERM ends it with status 0.

    Wrong parameters, and files that cannot be read or written, end it with one line and status 1.
    """
    rclpy.init(args=arguments)
    node: NodeType | None = None
    try:
        node = make()
        work(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # rclpy's own errors: a signal takes the context away in the middle of any call.
        if rclpy.ok():
            raise
    except (FileError, ParameterException) as error:
        sys.exit(f"error: {error}")
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
