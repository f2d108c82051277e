"""The lifecycle node `regseg`: camera topics in, label and colour-mask topics out."""

from __future__ import annotations

if __name__ == "__main__":
    from regseg_ros import entry

    entry.segmenter()  # catches signals first: the imports below take seconds
    raise SystemExit

import functools
import os
import sys
from contextlib import ExitStack

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import get_logger

from regseg_core.device import keep_freed_memory, share_arenas
from regseg_core.outputs import OUTPUTS
from regseg_ros import parameters
from regseg_ros.camera import Arrival, Camera
from regseg_ros.geometry.places import Places
from regseg_ros.geometry.transforms import Transforms
from regseg_ros.lifecycle import UndoingNode
from regseg_ros.logs import ToNode
from regseg_ros.mailbox import Mailbox
from regseg_ros.monitor import Namesakes, Unheard
from regseg_ros.network import Network
from regseg_ros.pipeline import Pipeline
from regseg_ros.process import keep_spinning, run
from regseg_ros.publishing import ToCompress, compress
from regseg_ros.settings import SegmenterSettings
from regseg_ros.transport import Severity, findings, warnings
from regseg_ros.worker import Worker

#: Seconds between two looks at who listens. An idle node does little else.
_ATTEND = 0.25
#: Seconds between two diagnostics.
_REPORT = 1.0


class SegmenterNode(UndoingNode):
    """Segments the newest frames of its cameras.

    The executor's callbacks leave each camera's newest image in a mailbox; a worker thread takes
    those that are there, segments them as one batch and publishes what somebody subscribes to;
    another one compresses. Configure loads the weights, activate starts the workers; deactivate and
    cleanup undo them.
    """

    def __init__(self) -> None:
        # Before the participant takes its part of the shared memory.
        self._transport = findings(os.environ)
        super().__init__("regseg")
        parameters.declare(self, SegmenterSettings, lambda: self.is_configured)
        parameters.declare_cameras(self, parameters.read(self, SegmenterSettings).cameras)
        self._namesakes, self._unheard = Namesakes(self), Unheard(self)

    def configure(self, undo: ExitStack) -> None:
        for finding in self._transport:
            if finding.severity is Severity.WARNING:
                self.get_logger().warning(str(finding))
            else:
                self.get_logger().info(str(finding))
        settings = parameters.read(self, SegmenterSettings)
        names = settings.camera_names
        parameters.declare_cameras(self, names)
        for wrong, meant in parameters.misspelt(self).items():
            hint = f": did you mean {meant}" if meant else ""
            self.get_logger().warning(f"{wrong} is no parameter and does nothing{hint}")
        undo.enter_context(ToNode(self.get_logger()))
        self._network: Network | None = Network(self, names, undo)
        undo.callback(self._forget)
        confidence = self._network.confidence
        if settings.confidence and not confidence:
            self.get_logger().info(
                "~/confidence is not published: the engine file was compiled without --confidence"
            )
        outputs = {n: o for n, o in OUTPUTS.items() if confidence or not o.needs_confidence}
        transforms = Transforms(self)
        undo.callback(transforms.close)
        self._cameras = [Camera(self, name, outputs, transforms, undo) for name in names]
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        undo.callback(self.destroy_publisher, self._diagnostics)
        self.get_logger().info(f"loaded {self._network.segment.description}")

    def activate(self, undo: ExitStack) -> None:
        assert self._network is not None
        settings = parameters.read(self, SegmenterSettings)
        self._network.warm_up()
        undo.callback(self._sum_up)
        to_compress: Mailbox[ToCompress] = Mailbox()
        undo.callback(Worker("compressing", to_compress, functools.partial(compress, self)).stop)
        arrivals: Mailbox[Arrival] = Mailbox(settings.batch_max, settings.batch_wait_ms / 1000)
        pipeline = Pipeline(self, self._network, to_compress)
        undo.callback(self._stop, Worker("segmenting", arrivals, pipeline))
        to_place: Mailbox[Places] = Mailbox()
        undo.callback(Worker("placing", to_place, _place).stop)
        for camera in self._cameras:
            camera.start(arrivals, to_place, settings.lazy, undo)
        # A simulator that stands still, or is not there, stops the node's own clock.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        for seconds, work in ((_ATTEND, self._attend), (_REPORT, self._report)):
            undo.callback(self.destroy_timer, self.create_timer(seconds, work, clock=clock))
        self._network.classes.announce()
        for camera in self._cameras:
            outputs = ", ".join(camera.topics.names)
            self.get_logger().info(f"active: {camera.input.topic} -> {outputs}")

    def _attend(self) -> None:
        assert self._network is not None
        self._network.classes.attend()
        for camera in self._cameras:
            camera.attend()

    def _report(self) -> None:
        assert self._network is not None
        self._namesakes.look()
        self._unheard.look()
        segment, transport = self._network.segment, warnings(self._transport)
        message = DiagnosticArray(status=[c.look(segment, transport) for c in self._cameras])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _sum_up(self) -> None:
        assert self._network is not None
        # A signal has taken /rosout away, where the node's logger would go as well.
        logger = self.get_logger() if self.context.ok() else get_logger(f"{self.get_name()}.end")
        for camera in self._cameras:
            logger.info(camera.summary(self._network.segment))

    def _stop(self, worker: Worker[Arrival]) -> None:
        for arrival in worker.stop():
            arrival.camera.statistics.count("dropped")

    def _forget(self) -> None:
        self._network, self._cameras = None, []


def _place(waiting: list[Places]) -> None:
    for places in waiting:
        places.work()


def _segment_until_told(node: SegmenterNode) -> None:
    if parameters.read(node, SegmenterSettings).autostart:
        success = TransitionCallbackReturn.SUCCESS
        if node.trigger_configure() != success or node.trigger_activate() != success:
            sys.exit(0 if not node.context.ok() else 1)
    keep_spinning(node)


def main(arguments: list[str] | None = None) -> None:
    keep_freed_memory()
    share_arenas()
    run(SegmenterNode, _segment_until_told, arguments)
