"""How every node of this package starts and ends."""

from __future__ import annotations

import gc
import re
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from regseg_core.files import FileError
from regseg_ros import signals
from regseg_ros.logs import THROTTLE

#: Seconds from a signal to the end at the latest; `ros2 launch` waits for five.
ENDING = 1.8

#: Seconds after which a node looks by itself whether it is to end. One without timers, as while it
#: is not active, would else wait for something to wake it.
_LOOK = 0.5

NodeType = TypeVar("NodeType", bound=Node)


def spin(node: Node) -> None:
    """Lets a node's callbacks run until the context ends."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    while node.context.ok():
        executor.spin_once(timeout_sec=_LOOK)


def keep_spinning(node: Node) -> None:
    """As `spin`, but a callback that raises is logged, and the others go on.

    rclpy's own services raise for requests that make no sense, and would end the process.
    """
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    while node.context.ok():
        try:
            executor.spin_once(timeout_sec=_LOOK)
        except ExternalShutdownException:
            raise
        except rclpy_implementation.InvalidHandle:
            pass  # Destroyed while its callback ran: there is nobody to answer.
        except Exception:
            if not node.context.ok():
                raise
            node.get_logger().error(
                f"a callback failed, the node goes on: {traceback.format_exc()}",
                throttle_duration_sec=THROTTLE,
            )


def run(
    make: Callable[[], NodeType],
    work: Callable[[NodeType], None],
    arguments: list[str] | None = None,
    ending: float = ENDING,
) -> None:
    """Makes a node and lets it work until it is done, or a signal that `entry` catches ends it.

    That shuts the context down; the node then has `ending` seconds to end in order. Wrong
    arguments and parameters, and files that cannot be read or written, end it with one line and
    status 1.
    """
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        sys.exit(f"error: {_explained(error)}")
    signals.end_by(rclpy.try_shutdown, ending)
    gc.freeze()  # What the imports have made stays: PyTorch's objects take long to go through.
    node: NodeType | None = None
    try:
        node = make()
        work(node)
    except ExternalShutdownException:
        pass
    except (FileError, ParameterException) as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        # A signal takes the context away in the middle of any call.
        if rclpy.ok():
            if node is None and isinstance(error, rclpy_implementation.RCLError):
                sys.exit(f"error: {_explained(error)}")  # No node can be made here.
            raise
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    # What a lifecycle node keeps of DDS goes with its last reference.
    node = None
    gc.collect()


def _explained(error: RuntimeError) -> str:
    """What ROS' C libraries say in one line, without the lines of their code."""
    reason = " ".join(re.sub(r", at \S+:\d+", "", str(error)).split())
    reason = reason.removeprefix("failed to initialize rcl: ")
    if reason.startswith("["):
        reason = f"unknown ROS arguments {reason}"
    elif not reason.startswith("Couldn't parse"):
        return reason
    return (
        f"{reason}; after --ros-args go -p NAME:=VALUE, --params-file FILE.yaml, -r FROM:=TO and"
        " --log-level debug|info|warn|error|fatal"
    )
