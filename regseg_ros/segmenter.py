"""The lifecycle node `regseg`: camera topic in, label and colour-mask topics out."""

from __future__ import annotations

if __name__ == "__main__":
    from regseg_ros import entry

    entry.segmenter()  # catches signals first: the imports below take seconds
    raise SystemExit

import sys
import time
import traceback
from contextlib import ExitStack
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from regseg_core import Frame, Segmenter
from regseg_core.backends.spec import GraphSpec
from regseg_core.device import keep_freed_memory, release_memory
from regseg_core.errors import FrameError
from regseg_core.outputs import OUTPUTS
from regseg_ros import parameters
from regseg_ros.camera import Arrival, Camera
from regseg_ros.frames import to_frame
from regseg_ros.lifecycle import UndoingNode
from regseg_ros.logs import THROTTLE, ToNode, Warnings
from regseg_ros.mailbox import Mailbox
from regseg_ros.messages import label_info_message
from regseg_ros.process import run, spin
from regseg_ros.settings import SegmenterSettings
from regseg_ros.worker import Worker

LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class SegmenterNode(UndoingNode):
    """Segments the newest frame of one camera.

    The executor's callback leaves each image in a mailbox; a worker thread takes the newest one,
    segments it and publishes what somebody subscribes to. Configure loads the weights, activate
    warms up and starts the worker; deactivate and cleanup undo them.
    """

    def __init__(self) -> None:
        super().__init__("regseg")
        parameters.declare(self, SegmenterSettings)
        self._warn = Warnings(self.get_logger())

    def configure(self, undo: ExitStack) -> None:
        self._settings = settings = parameters.read(self, SegmenterSettings)
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
        # A signal ends what is being compiled, for which a transition may be waiting.
        self.context.on_shutdown(self._segment.close)
        compiled = self._segment.engine_spec
        self._confidence = settings.confidence if compiled is None else compiled.confidence
        frames = settings.warm_up_frames
        self._expected = (
            compiled if frames is None else self._segment.spec(*frames, self._confidence)
        )
        if compiled is not None and compiled.batch > 1:
            self._expected = None if frames is None else self._expected
            self.get_logger().warning(
                f"the engine file is for {compiled.batch} frames at once and is not used: one"
                " camera sends one; compile it without --batch"
            )
        if settings.confidence and not self._confidence:
            self.get_logger().info(
                "~/confidence is not published: the engine file was compiled without --confidence"
            )
        outputs = {
            name: output
            for name, output in OUTPUTS.items()
            if self._confidence or not output.needs_confidence
        }
        self._camera: Camera | None = Camera(
            self, self._segment, settings.image_topic, outputs, undo
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        undo.callback(self.destroy_publisher, self._diagnostics)
        self._label_info = self._create_label_info(undo)
        parameters.show_classes(self, self._segment.labels)
        undo.callback(parameters.hide_classes, self)
        self.get_logger().info(f"loaded {self._segment.description}")

    def activate(self, undo: ExitStack) -> None:
        assert self._segment is not None and self._camera is not None
        if self._expected is not None:
            self._warm_up(self._segment, self._expected)
        mailbox: Mailbox[Arrival] = Mailbox()
        undo.callback(Worker(mailbox, self._process).stop)
        self._camera.subscribe(mailbox, undo)
        undo.callback(self.destroy_timer, self.create_timer(1.0, self._on_timer))
        if self._label_info is not None:
            stamp = Header(stamp=self.get_clock().now().to_msg())
            self._label_info.publish(label_info_message(self._segment.labels, stamp))
        self.get_logger().info(f"active: {self._camera.topics}")

    def _warm_up(self, segment: Segmenter, spec: GraphSpec) -> None:
        started = time.monotonic()
        segment.warm_up(spec)
        seconds = time.monotonic() - started
        self.get_logger().info(f"warmed up for {spec.title()} in {seconds:.1f} s")

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
        assert self._segment is not None
        self._segment.close()
        self._segment = self._camera = None
        release_memory()

    def _process(self, arrivals: list[Arrival]) -> None:
        """Segments the newest frames; must not raise."""
        wanted = {id(a): a.camera.wanted() for a in arrivals}
        taken: list[tuple[Arrival, Frame]] = []
        for arrival in arrivals:
            if not wanted[id(arrival)]:
                arrival.camera.statistics.count("unwanted")
                continue
            try:
                taken.append((arrival, to_frame(arrival.message)))
            except FrameError as error:
                arrival.camera.statistics.count("refused")
                self._warn(f"frame refused: {error}")
            except Exception:
                self._note_failure(arrival)
        try:
            assert self._segment is not None
            results = self._segment.segment([frame for _, frame in taken], self._confidence)
        except Exception:
            for arrival, _ in taken:
                self._note_failure(arrival)
            return
        for (arrival, _), result in zip(taken, results, strict=True):
            try:
                alpha = self._settings.overlay_alpha
                arrival.camera.publish(arrival, result, wanted[id(arrival)], alpha)
            except Exception:
                self._note_failure(arrival)

    def _note_failure(self, arrival: Arrival) -> None:
        """Inside an `except`: counts and says it."""
        if not self.context.ok():
            return  # A signal has taken the publishers away.
        arrival.camera.statistics.count("failed")
        self.get_logger().error(
            f"a frame could not be segmented: {traceback.format_exc()}",
            throttle_duration_sec=THROTTLE,
        )

    def _on_timer(self) -> None:
        assert self._camera is not None
        self._diagnostics.publish(self._camera.diagnostics())


def _segment_until_told(node: SegmenterNode) -> None:
    if parameters.read(node, SegmenterSettings).autostart:
        success = TransitionCallbackReturn.SUCCESS
        if node.trigger_configure() != success or node.trigger_activate() != success:
            sys.exit(0 if not node.context.ok() else 1)
    spin(node)


def main(arguments: list[str] | None = None) -> None:
    keep_freed_memory()
    run(SegmenterNode, _segment_until_told, arguments)
