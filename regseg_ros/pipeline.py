"""From cameras' messages to published outputs, in the worker's thread."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from rclpy.lifecycle import LifecycleNode

from regseg_core import Frame
from regseg_core.backends.base import CompilingError
from regseg_core.errors import FrameError
from regseg_ros import parameters
from regseg_ros.camera import Arrival
from regseg_ros.logs import THROTTLE, Warnings
from regseg_ros.mailbox import Mailbox
from regseg_ros.network import Network
from regseg_ros.publishing import ToCompress
from regseg_ros.settings import SegmenterSettings
from regseg_ros.statistics import COMPILING, TOO_OLD


@dataclass(frozen=True)
class Wanted:
    """A frame, and the outputs that somebody wants of it."""

    arrival: Arrival
    frame: Frame
    outputs: list[str]


class Pipeline:
    """Publishes what is wanted of each frame, or counts why it could not; never raises."""

    def __init__(
        self, node: LifecycleNode, network: Network, to_compress: Mailbox[ToCompress]
    ) -> None:
        self._node, self._network, self._to_compress = node, network, to_compress
        self._warn = Warnings(node.get_logger())

    def __call__(self, arrivals: list[Arrival]) -> None:
        settings = parameters.read(self._node, SegmenterSettings)
        alike: dict[object, list[Wanted]] = {}
        for arrival in arrivals:
            if (wanted := self._check(arrival, settings)) is not None:
                alike.setdefault(wanted.frame.kind, []).append(wanted)
        # Frames of another size do not wait for these, nor fail with them.
        for batch in alike.values():
            self._segment(batch, settings)

    def _check(self, arrival: Arrival, settings: SegmenterSettings) -> Wanted | None:
        camera = arrival.camera
        try:
            if 0 < settings.max_age_ms < camera.age(arrival) * 1000:
                camera.statistics.count("dropped", TOO_OLD)
            elif not (outputs := camera.wanted()):
                camera.statistics.count("unwanted")
            else:
                frame = camera.frame(arrival, int(settings.max_megapixels * 1e6))
                return Wanted(arrival, frame, outputs)
        except FrameError as error:
            camera.statistics.count("refused", str(error))
            self._warn(f"frame of {camera.title} refused: {error}")
        except Exception as error:
            self._note_failure(arrival, error)
        return None

    def _segment(self, batch: list[Wanted], settings: SegmenterSettings) -> None:
        segment = self._network.segment
        # An unsure pixel cannot be told without confidence.
        confidence = self._network.confidence or settings.min_confidence > 0
        try:
            results = segment.segment([wanted.frame for wanted in batch], confidence)
            classes = [name for name in settings.classes_of_interest if name]
            results = [r.limited(classes, settings.min_confidence) for r in results]
            results = [self._network.classes.applied(result) for result in results]
        except CompilingError:
            for wanted in batch:
                wanted.arrival.camera.statistics.count("dropped", COMPILING)
            return
        except Exception as error:
            for wanted in batch:
                self._note_failure(wanted.arrival, error)
            return
        for wanted, result in zip(batch, results, strict=True):
            try:
                wanted.arrival.camera.publish(
                    wanted.arrival,
                    result,
                    wanted.outputs,
                    settings,
                    self._to_compress,
                    segment.health.backend,
                )
            except Exception as error:
                self._note_failure(wanted.arrival, error)

    def _note_failure(self, arrival: Arrival, error: Exception) -> None:
        """Inside an `except`: counts and says it."""
        if not self._node.context.ok():
            return  # A signal has taken the publishers away.
        arrival.camera.statistics.count("failed", f"{type(error).__name__}: {error}")
        self._node.get_logger().error(
            f"a frame could not be segmented: {traceback.format_exc()}",
            throttle_duration_sec=THROTTLE,
        )
