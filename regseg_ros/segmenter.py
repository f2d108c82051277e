"""The lifecycle node `regseg`: camera topic in, label and colour-mask topics out."""

from __future__ import annotations

import functools
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from regseg_core import Segmentation, Segmenter
from regseg_core.device import keep_freed_memory
from regseg_core.segmenter import FrameError
from regseg_ros import parameters
from regseg_ros.diagnostics import FrameStatistics, diagnostic_message
from regseg_ros.frames import to_frame
from regseg_ros.mailbox import Mailbox
from regseg_ros.messages import image_message, label_info_message
from regseg_ros.worker import Worker

INPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
OUTPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

#: Seconds between two warnings of the same text.
THROTTLE = 5.0

#: Pixels of the frame that warms the network up.
WARM_UP_SIZE = (360, 480)

#: Each output topic: its encoding, and its pixels from a segmentation and `overlay_alpha`.
OUTPUTS: dict[str, tuple[str, Callable[[Segmentation, float], Any]]] = {
    "mask": ("rgb8", lambda result, _: result.mask()),
    "label": ("mono8", lambda result, _: result.labels),
    "confidence": ("mono8", lambda result, _: result.confidence),
    "overlay": ("rgb8", lambda result, alpha: result.overlay(alpha)),
}

Transition = Callable[["SegmenterNode", LifecycleState], TransitionCallbackReturn]
#: A message and when it came, in seconds of the monotonic clock.
Arrival = tuple[Image, float]


def _explained(transition: Transition) -> Transition:
    """A failing transition says why in the log and leaves the node in its old state.

    rclpy would drop the exception in silence.
    """

    @functools.wraps(transition)
    def explained(node: SegmenterNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.get_logger().error(f"{transition.__name__.removeprefix('on_')} failed: {error}")
            node.get_logger().debug(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE

    return explained


class SegmenterNode(LifecycleNode):
    """Segments the newest frame of one camera.

    The executor's callback leaves each image in a mailbox; a worker thread takes the newest one,
    segments it and publishes what somebody subscribes to. Configure loads the weights, activate
    warms up and starts the worker; deactivate and cleanup undo them.
    """

    def __init__(self) -> None:
        super().__init__("regseg")
        parameters.declare(self)
        self._segment: Segmenter | None = None
        self._worker: Worker[Arrival] | None = None
        self._warned: dict[str, float] = {}

    @_explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        settings = parameters.read(self)
        self._segment = Segmenter(
            settings.weights,
            settings.device,
            settings.size,
            settings.precision,
            settings.model or None,
            settings.labels or None,
        )
        self._settings = settings
        parameters.show_classes(self, self._segment.labels)
        self._publishers_of = {
            name: self.create_lifecycle_publisher(
                Image,
                f"~/{name}",
                OUTPUT_QOS,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for name in OUTPUTS
        }
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._label_info = self._create_label_info()
        self.get_logger().info(f"loaded {self._segment.description}")
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self._segment is not None
        started = time.monotonic()
        self._segment.warm_up(*WARM_UP_SIZE)
        seconds = time.monotonic() - started
        super().on_activate(state)
        self._statistics = FrameStatistics()
        self._mailbox: Mailbox[Arrival] = Mailbox()
        self._worker = Worker(self._mailbox, self._process)
        self._camera = self.create_subscription(
            Image,
            self._settings.image_topic,
            self._on_image,
            INPUT_QOS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._timer = self.create_timer(1.0, self._on_timer)
        if self._label_info is not None:
            stamp = Header(stamp=self.get_clock().now().to_msg())
            self._label_info.publish(label_info_message(self._segment.labels, stamp))
        self.get_logger().info(
            f"active: {self._camera.topic_name} -> {self._publishers_of['mask'].topic_name},"
            f" warmed up in {seconds:.1f} s"
        )
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        return super().on_deactivate(state)

    @_explained
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._free()
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        self._stop()
        super().destroy_node()

    def _create_label_info(self) -> Any:
        try:
            from vision_msgs.msg import LabelInfo
        except ImportError:
            self.get_logger().info(
                "vision_msgs is not installed: ~/label_info is not published"
                " (class names are in the parameter class_names)",
                once=True,
            )
            return None
        return self.create_publisher(LabelInfo, "~/label_info", LATCHED_QOS)

    def _stop(self) -> None:
        """Ends what activate began."""
        if self._worker is None:
            return
        self.destroy_subscription(self._camera)
        self.destroy_timer(self._timer)
        self._worker.stop()
        self._worker = None

    def _free(self) -> None:
        """Gives back what configure took."""
        if self._segment is None:
            return
        for publisher in self._publishers_of.values():
            self.destroy_lifecycle_publisher(publisher)
        self.destroy_publisher(self._diagnostics)
        if self._label_info is not None:
            self.destroy_publisher(self._label_info)
        parameters.hide_classes(self)
        self._segment = None

    def _on_image(self, message: Image) -> None:
        self._statistics.count("received")
        if self._mailbox.put((message, time.monotonic())):
            self._statistics.count("dropped")

    def _process(self, arrival: Arrival) -> None:
        message, received = arrival
        wanted = {
            name: publisher
            for name, publisher in self._publishers_of.items()
            if publisher.get_subscription_count()
        }
        if not wanted:
            self._statistics.count("unwanted")
            return
        try:
            self._segment_and_publish(message, wanted)
            self._statistics.segmented(time.monotonic() - received)
        except FrameError as error:
            self._statistics.count("refused")
            self._warn(f"frame refused: {error}")
        except Exception:
            if not self.context.ok():
                return  # The process is ending and has taken the publishers down.
            self._statistics.count("failed")
            self.get_logger().error(
                f"a frame could not be segmented: {traceback.format_exc()}",
                throttle_duration_sec=THROTTLE,
            )

    def _warn(self, text: str) -> None:
        """Logs a warning, the same one at most every THROTTLE seconds.

        rclpy's own throttle goes by the line of code, so one bad camera setting would hide another.
        """
        now = time.monotonic()
        self._warned = {t: when for t, when in self._warned.items() if now - when < THROTTLE}
        if text not in self._warned:
            self._warned[text] = now
            self.get_logger().warning(text)

    def _segment_and_publish(self, message: Image, wanted: dict[str, Any]) -> None:
        assert self._segment is not None
        frame = to_frame(message)
        result = self._segment(frame.pixels, frame.encoding, confidence="confidence" in wanted)
        for name, publisher in wanted.items():
            encoding, pixels_of = OUTPUTS[name]
            pixels = pixels_of(result, self._settings.overlay_alpha)
            publisher.publish(image_message(pixels, encoding, frame.header))

    def _on_timer(self) -> None:
        assert self._segment is not None
        message = diagnostic_message(
            self._statistics.values(),
            self.get_fully_qualified_name(),
            self._camera.topic_name,
            self._segment.description,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main(arguments: list[str] | None = None) -> None:
    keep_freed_memory()
    rclpy.init(args=arguments)
    node = SegmenterNode()
    try:
        if node.get_parameter("autostart").value:
            success = TransitionCallbackReturn.SUCCESS
            if node.trigger_configure() != success or node.trigger_activate() != success:
                sys.exit(1)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # SIGINT and SIGTERM are how a node is ended.
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
