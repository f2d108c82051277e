"""The lifecycle node `regseg`: camera topic in, label and colour-mask topics out."""

from __future__ import annotations

import functools
import re
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from regseg_core import Segmentation, Segmenter
from regseg_core.device import keep_freed_memory, release_memory
from regseg_core.errors import FrameError
from regseg_ros import parameters
from regseg_ros.diagnostics import FrameStatistics, diagnostic_message
from regseg_ros.frames import to_frame
from regseg_ros.logs import ToNode
from regseg_ros.mailbox import Mailbox
from regseg_ros.messages import image_message, label_info_message
from regseg_ros.parameters import Settings
from regseg_ros.process import run
from regseg_ros.worker import Worker

INPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
OUTPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

#: Seconds between two warnings of one kind.
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
        # First, since rclpy may destroy a node whose parameters it has refused.
        self._undo_configure, self._undo_activate = ExitStack(), ExitStack()
        super().__init__("regseg")
        parameters.declare(self, parameters.SEGMENTER)
        self._warned: dict[str, float] = {}
        self._refuse_impossible_transitions()

    @_explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        with ExitStack() as undo:
            self._settings = settings = Settings.of(self)
            undo.enter_context(ToNode(self.get_logger()))
            self._segment: Segmenter | None = Segmenter(
                settings.weights,
                settings.device,
                settings.size,
                settings.precision,
                settings.model or None,
                settings.labels or None,
                settings.backend,
                engine=settings.engine or None,
            )
            undo.callback(self._forget_network)
            self._outputs = {name: self._create_output(name, undo) for name in OUTPUTS}
            self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
            undo.callback(self.destroy_publisher, self._diagnostics)
            self._label_info = self._create_label_info(undo)
            parameters.show_classes(self, self._segment.labels)
            undo.callback(parameters.hide_classes, self)
            self._undo_configure = undo.pop_all()
        self.get_logger().info(f"loaded {self._segment.description}")
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self._segment is not None
        with ExitStack() as undo:
            started = time.monotonic()
            self._segment.warm_up(*WARM_UP_SIZE)
            seconds = time.monotonic() - started
            super().on_activate(state)
            undo.callback(super().on_deactivate, state)
            self._statistics = FrameStatistics()
            self._mailbox: Mailbox[Arrival] = Mailbox()
            undo.callback(Worker(self._mailbox, self._process).stop)
            self._camera = self.create_subscription(
                Image,
                self._settings.image_topic,
                self._on_image,
                INPUT_QOS,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            undo.callback(self.destroy_subscription, self._camera)
            undo.callback(self.destroy_timer, self.create_timer(1.0, self._on_timer))
            self._undo_activate = undo.pop_all()
        if self._label_info is not None:
            stamp = Header(stamp=self.get_clock().now().to_msg())
            self._label_info.publish(label_info_message(self._segment.labels, stamp))
        self.get_logger().info(
            f"active: {self._camera.topic_name} -> {self._outputs['mask'].topic_name},"
            f" warmed up in {seconds:.1f} s"
        )
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._undo_activate.close()
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._undo_configure.close()
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._undo_activate.close()
        self._undo_configure.close()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        self._undo_activate.close()
        super().destroy_node()

    def _refuse_impossible_transitions(self) -> None:
        """Answers a request that the state does not allow, which rclpy lets end the process."""
        service = self._service_change_state
        change = service.callback

        def change_or_refuse(
            request: ChangeState.Request, response: ChangeState.Response
        ) -> ChangeState.Response:
            try:
                return change(request, response)
            except RuntimeError as error:
                self.get_logger().warning(f"transition {request.transition.id} refused: {error}")
                response.success = False
                return response

        service.callback = change_or_refuse

    def _create_output(self, name: str, undo: ExitStack) -> Any:
        publisher = self.create_lifecycle_publisher(
            Image,
            f"~/{name}",
            OUTPUT_QOS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        undo.callback(self.destroy_lifecycle_publisher, publisher)
        return publisher

    def _create_label_info(self, undo: ExitStack) -> Any:
        try:
            from vision_msgs.msg import LabelInfo
        except ImportError:
            self.get_logger().info(
                "vision_msgs is not installed: ~/label_info is not published"
                " (class names are in the parameter class_names)",
                once=True,
            )
            return None
        publisher = self.create_publisher(LabelInfo, "~/label_info", LATCHED_QOS)
        undo.callback(self.destroy_publisher, publisher)
        return publisher

    def _forget_network(self) -> None:
        self._segment = None
        release_memory()

    def _on_image(self, message: Image) -> None:
        self._statistics.count("received")
        if self._mailbox.put((message, time.monotonic())):
            self._statistics.count("dropped")

    def _process(self, arrival: Arrival) -> None:
        message, received = arrival
        try:
            wanted = {n: p for n, p in self._outputs.items() if p.get_subscription_count()}
            if wanted:
                self._segment_and_publish(message, wanted)
                self._statistics.segmented(time.monotonic() - received)
            else:
                self._statistics.count("unwanted")
        except FrameError as error:
            self._statistics.count("refused")
            self._warn(f"frame refused: {error}")
        except Exception:
            if not self.context.ok():
                return  # A signal has taken the publishers away.
            self._statistics.count("failed")
            self.get_logger().error(
                f"a frame could not be segmented: {traceback.format_exc()}",
                throttle_duration_sec=THROTTLE,
            )

    def _warn(self, text: str) -> None:
        """Logs a warning, one that differs in numbers alone at most every THROTTLE seconds.

        rclpy's own throttle goes by the line of code, so one bad camera setting would hide another.
        """
        now = time.monotonic()
        self._warned = {t: when for t, when in self._warned.items() if now - when < THROTTLE}
        kind = re.sub(r"\d+", "#", text)
        if kind not in self._warned:
            self._warned[kind] = now
            self.get_logger().warning(text)

    def _segment_and_publish(self, message: Image, wanted: dict[str, Any]) -> None:
        assert self._segment is not None
        frame = to_frame(message)
        result = self._segment.segment([frame], confidence="confidence" in wanted)[0]
        for name, publisher in wanted.items():
            encoding, pixels_of = OUTPUTS[name]
            pixels = pixels_of(result, self._settings.overlay_alpha)
            publisher.publish(image_message(pixels, encoding, message.header))

    def _on_timer(self) -> None:
        assert self._segment is not None
        message = diagnostic_message(
            self._statistics.values(),
            self.get_fully_qualified_name(),
            self._camera.topic_name,
            self._segment,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def _segment_until_told(node: SegmenterNode) -> None:
    if Settings.of(node).autostart:
        success = TransitionCallbackReturn.SUCCESS
        if node.trigger_configure() != success or node.trigger_activate() != success:
            sys.exit(0 if not node.context.ok() else 1)
    rclpy.spin(node)


def main(arguments: list[str] | None = None) -> None:
    keep_freed_memory()
    run(SegmenterNode, _segment_until_told, arguments)


if __name__ == "__main__":
    main()
