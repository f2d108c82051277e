"""The weights that a node segments with: loading them, telling others of their classes."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import asdict

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future
from std_srvs.srv import Trigger

from regseg_core import Segmenter
from regseg_core.backends.spec import GraphSpec
from regseg_core.device import release_memory, unused_gpu
from regseg_core.errors import ArgumentError
from regseg_ros import parameters
from regseg_ros.classes import Classes, misfit
from regseg_ros.settings import AT_LOADING, SegmenterSettings, described

#: The parameters that say what `~/load_weights` loads.
_LOADED = [name for name, (_, e) in described(SegmenterSettings).items() if e.read == AT_LOADING]


class Network:
    """A Segmenter that can be replaced between two frames. It is there until `undo` is closed.

    Raises what Segmenter raises, and ArgumentError for settings that do not fit it.
    """

    def __init__(self, node: LifecycleNode, cameras: list[str], undo: ExitStack) -> None:
        self._node = node
        self.settings = parameters.read(node, SegmenterSettings)
        self.segment = _load(self.settings)
        undo.callback(self._forget)
        if self.settings.device == "auto" and (why := unused_gpu()):
            node.get_logger().warning(f"the CPU segments: {why}", once=True)
        self._cameras = len(cameras)
        self._expected = self._expects()
        #: What others are told of its classes.
        self.classes = Classes(node, cameras, undo)
        self.classes.show(self.segment.labels, _always_sure(self.segment))
        self._loading = threading.Lock()
        self._ended = False
        # A group of its own: others' callbacks would wait until the weights are loaded.
        service = node.create_service(
            Trigger,
            "~/load_weights",
            self._on_load,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        undo.callback(node.destroy_service, service)

    @property
    def confidence(self) -> bool:
        """Whether confidence is published: an engine file decides by itself."""
        return _confidence(self.settings, self.segment)

    def warm_up(self) -> None:
        """Begins to get ready for the frames that are expected, where these are known."""
        if self._expected is not None:
            self.segment.warm_up(self._expected)

    async def _on_load(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Loads the weights that the parameters name now; the old ones segment meanwhile."""
        if not self._loading.acquire(blocking=False):
            response.message = "other weights are being loaded: wait for them"
            return response
        try:
            wanted = parameters.read(self._node, SegmenterSettings)
            loaded: Future = Future()
            if self._node.executor is not None:
                loaded.add_done_callback(lambda _, wake=self._node.executor.wake: wake())
            # In a thread of its own, so that frames go on; it ends, so that PyTorch's threads do.
            work = (wanted, self.segment, loaded)
            threading.Thread(target=self._load_for, args=work, daemon=True).start()
            new, seconds = await loaded
            if wrong := self._objection(new):
                new.close()
                raise ArgumentError(wrong)
            self._take_over(new, wanted)
        except Exception as error:
            if self._ended:
                response.message = str(error)
                return response
            parameters.write(self._node, {name: getattr(self.settings, name) for name in _LOADED})
            response.message = f"{error}; still running: {self.segment.description}"
            self._node.get_logger().error(f"load_weights failed: {response.message}")
        else:
            response.success = True
            response.message = f"loaded {new.description} in {seconds:.1f} s"
            self._node.get_logger().info(response.message)
        finally:
            self._loading.release()
        return response

    def _load_for(self, wanted: SegmenterSettings, old: Segmenter, loaded: Future) -> None:
        """Loads, and warms up for what the old network segments."""
        started = time.monotonic()
        try:
            new = _load(wanted)
            try:
                confidence = _confidence(wanted, new) or wanted.min_confidence > 0
                for kind in old.kinds()[: self._cameras]:
                    # Of its own: another precision may be meant, and another size by an engine.
                    frames = kind.height, kind.width, kind.encoding
                    spec = new.spec(*frames, confidence, kind.batch, kind.rotation)
                    new.compile(spec)  # else frames would be slower until it is
                    new.warm_up(spec, wait=True)
            except Exception:
                new.close()
                raise
        except Exception as error:
            loaded.set_exception(error)
        else:
            loaded.set_result((new, time.monotonic() - started))

    def _objection(self, new: Segmenter) -> str:
        """Why it cannot take over; empty where it can."""
        if self._ended:
            return "the node was cleaned up meanwhile"
        if self.confidence and _always_sure(new):
            return (
                "~/confidence is published, and the engine file was compiled without --confidence:"
                " compile it with that, or configure the node anew"
            )
        # Parameters may have changed meanwhile, to what fits the old ones.
        now = parameters.read(self._node, SegmenterSettings)
        return misfit(asdict(now), new.labels, _always_sure(new))

    def _take_over(self, new: Segmenter, wanted: SegmenterSettings) -> None:
        old, self.segment, self.settings = self.segment, new, wanted
        old.close()
        # Once nothing holds the old one any more; not here, where cameras are heard.
        later = threading.Timer(1.0, release_memory)
        later.daemon = True
        later.start()
        self._expected = self._expects()
        self.classes.show(new.labels, _always_sure(new))

    def _expects(self) -> GraphSpec | None:
        """The frames to be ready for. Raises ValueError for another text than frames."""
        compiled, frames = self.segment.engine_spec, self.settings.warm_up_frames
        most = min(self._cameras, self.settings.batch_max)
        if compiled is not None and compiled.batch > most:
            self._node.get_logger().warning(
                f"the engine file is for {compiled.batch} frames at once and is not used: at most"
                f" {most} come at once (cameras, batch_max); compile it with --batch {most}"
            )
            compiled = None
        return compiled if frames is None else self.segment.spec(*frames, self.confidence)

    def _forget(self) -> None:
        self._ended = True
        self.segment.close()
        del self.segment
        release_memory()


def _load(settings: SegmenterSettings) -> Segmenter:
    segment = Segmenter(
        settings.weights,
        settings.device,
        settings.size,
        settings.precision,
        settings.model or None,
        settings.labels or None,
        settings.backend,
        engine=settings.engine or None,
        wait=False,
    )
    if wrong := misfit(asdict(settings), segment.labels, _always_sure(segment)):
        segment.close()
        raise ArgumentError(wrong)
    return segment


def _confidence(settings: SegmenterSettings, segment: Segmenter) -> bool:
    """Whether confidence is published: an engine file decides by itself."""
    compiled = segment.engine_spec
    return settings.confidence if compiled is None else compiled.confidence


def _always_sure(segment: Segmenter) -> bool:
    """Whether its engine file gives no confidence."""
    return segment.engine_spec is not None and not segment.engine_spec.confidence
