"""Segmenter: one call from camera frames to labels."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from regseg_core import zoo
from regseg_core.arrays import Image
from regseg_core.backends.base import Backend, CompilingError, Job
from regseg_core.backends.cache import default_folder
from regseg_core.backends.child import ClosedError
from regseg_core.backends.choose import candidates, choose_numbers, portable
from regseg_core.backends.eager import Eager
from regseg_core.backends.engine_file import read_identity, read_payload, settled, spec_of
from regseg_core.backends.health import Health
from regseg_core.backends.lost import is_lost, keep
from regseg_core.backends.runners import Runners
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.store import EngineStore
from regseg_core.calibration import Calibration, sha256_of
from regseg_core.device import choose_device, device_title, give_up
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import ArgumentError
from regseg_core.frame import Frame, by_kind, stacked
from regseg_core.labels import LabelSet
from regseg_core.model import SegmentationNetwork
from regseg_core.precision import float_precision, float_type
from regseg_core.segmentation import Segmentation
from regseg_core.threads import apart
from regseg_core.weights import build_model, find_weights

_LOG = logging.getLogger("regseg_core")


class Segmenter:
    """A trained network that takes camera frames as they come, from several threads too.

    On a GPU, the copies of one thread's frame overlap the computing of another's.

    `weights`: a name of `regseg_core.zoo.names()`, or the path of a weights file. `model` and
    `labels` (a label set, its name or YAML file) are needed only for files without a card, such as
    the published `.pth` checkpoints. `device`: auto, cpu, cuda or cuda:N. `size`: height and width
    that the network sees, None for each frame's own. `precision`: auto or a name in `PRECISIONS`.
    auto is float16 on a GPU; on a CPU the first that it is fast at of int8, bfloat16, float32. int8
    needs OpenVINO and a calibration beside the weights, which the shipped ones have; what it leaves
    in floating point, and PyTorch's first frames, are then in bfloat16 or float32.

    `backend`: what runs the graph, a name of `regseg_core.backends.choose.BACKENDS`, compiled at
    the first frame of each size; or auto, the best that works: PyTorch segments at once, and when a
    few frames of one size have come, a better one compiles in the background and runs from then
    on; or backends of your own, the last of which must need no compiling. `cache`: the folder of
    engines, None for none, default for the user's. `engine`: a file of
    `python -m regseg_core.compile`, made here or elsewhere of the same weights, for the frames that
    `engine_spec` names; `size` None and `precision` auto are then the file's. `health` says what
    runs and what failed.

    A GPU that dies, so that every call to it fails, is left for good: the CPU segments these frames
    and all that follow, by whatever is best there; the log and `health` say so.

    `wait`: whether the first frame of a kind (a size, encoding and batch) waits for a named backend
    to compile or load. If not, it raises CompilingError at once, as all do until the backend is
    ready, which it becomes in the background; the log says when. With auto no frame waits.

    Raises FileNotFoundError, WeightsError, LabelError, BackendError for a named backend that cannot
    work here, EngineError for an engine file that does not fit, and ArgumentError for the other
    arguments.
    """

    def __init__(
        self,
        weights: str | Path = zoo.DEFAULT,
        device: str = "auto",
        size: tuple[int, int] | None = None,
        precision: str = "auto",
        model: str | None = None,
        labels: LabelSet | str | Path | None = None,
        backend: str | Sequence[Backend] = "auto",
        cache: str | Path | None = "default",
        engine: str | Path | None = None,
        wait: bool = True,
    ) -> None:
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ArgumentError(f"size must be a height and a width in pixels, or None, not {size}")
        self._card, self._path = find_weights(weights, model, labels)
        self._sha256 = sha256_of(self._path)
        self.labels = self._card.labels
        self.device = choose_device(device)
        self._calibration: Calibration | None = None
        #: What the engine file is for; None without one.
        self.engine_spec = None if engine is None else self._check_engine_file(Path(engine))
        if self.engine_spec is not None:
            size, precision = settled(self.engine_spec, size, precision)
        self.precision, self._calibration = choose_numbers(
            precision, self.device, backend, self._path, compiled=engine is not None
        )
        self.size = size
        self.network = apart(partial(self._load_network, self.device, self.precision))
        self.backend = backend if isinstance(backend, str) else backend[0].name
        self.health = Health()
        folder = default_folder() if cache == "default" else cache
        self._folder = None if folder is None else Path(folder)
        self._wait = wait
        self._moving, self._closed = threading.Lock(), False
        backends, self.health.refused = candidates(backend, self.device, self.network)
        self._runners = self._make_runners(backends, None if engine is None else Path(engine))
        self._title = f"{weights}: {self._card.architecture}, {len(self.labels)} classes"

    @property
    def description(self) -> str:
        """What runs where, for people."""
        runs = self.health.backend
        precision = self.precision if runs != Eager.name else float_precision(self.precision)
        return f"{self._title}, {runs} {precision} on {self.device} ({device_title(self.device)})"

    def __call__(
        self, pixels: Image, encoding: str = "bgr8", confidence: bool = False
    ) -> Segmentation:
        """Segments one frame: uint8 in the encoding's shape, such as H x W x 3; rows may be padded.

        Raises FrameError for another shape or dtype, or an encoding that is not in `ENCODINGS`.
        """
        return self.segment([Frame.of(pixels, encoding)], confidence)[0]

    def segment(self, frames: Sequence[Frame], confidence: bool = False) -> list[Segmentation]:
        """Segments frames, in their order; those of one kind run as one batch.

        Of one kind are frames of the same encoding, size and rotation. Batches hold 1, 2, 4, 8, ...
        frames, or as many as the engine file is for, since each size is compiled for itself.
        Raises BackendError where a named backend cannot run them, of which CompilingError says that
        it cannot yet, and what a named backend raises. With auto another one takes the frames over.
        """
        return by_kind(frames, partial(self._in_batches, confidence=confidence))

    def _in_batches(self, frames: list[Frame], confidence: bool) -> Iterator[Segmentation]:
        """Of frames of one kind."""
        while frames:
            count = self._batch(len(frames))
            batch, frames = frames[:count], frames[count:]
            for frame, (labels, *rest) in zip(batch, self._planes(batch, confidence), strict=True):
                yield Segmentation(labels, rest[0] if confidence else None, self.labels, frame)

    def _planes(self, frames: list[Frame], confidence: bool) -> list[tuple[Image, ...]]:
        """Of frames of one kind, as one batch: labels and, where asked for, confidence of each."""
        encoding, height, width, rotation = frames[0].kind
        with self._moving:
            spec = self.spec(height, width, encoding, confidence, len(frames), rotation)
            runners, job = self._runners, self.job(spec)
        runner = runners.use(job)
        try:
            return list(zip(*(plane.numpy() for plane in runner(stacked(frames))), strict=True))
        except CompilingError:
            if len(frames) == 1:
                raise
            # A smaller batch may be ready: it is compiled first.
            half = len(frames) // 2
            return [
                *self._planes(frames[:half], confidence),
                *self._planes(frames[half:], confidence),
            ]
        except Exception as error:
            if not self._leave_lost_gpu(runners, error):
                raise
            return self._planes(frames, confidence)

    def _batch(self, frames: int) -> int:
        """How many of so many frames run at once."""
        compiled = self.engine_spec
        if compiled is not None and 1 < compiled.batch <= frames:
            return compiled.batch
        return 1 << (frames.bit_length() - 1)

    def spec(
        self,
        height: int,
        width: int,
        encoding: str = "bgr8",
        confidence: bool = False,
        batch: int = 1,
        rotation: int = 0,
    ) -> GraphSpec:
        """What runs for frames of that size and rotation. Raises ArgumentError."""
        return GraphSpec(
            encoding, height, width, batch, self.size, confidence, self.precision, rotation
        )

    def job(self, spec: GraphSpec) -> Job:
        """What a backend needs to compile a spec."""
        calibration = self._calibration if spec.precision == "int8" else None
        return Job(self._card, self._path, spec, self.device, calibration, self._sha256)

    def kinds(self) -> list[GraphSpec]:
        """The kinds of frames that were segmented lately, newest first."""
        return self._runners.kinds()

    def compile(self, spec: GraphSpec) -> str:
        """Compiles for frames of that kind, and waits; returns the backend that then runs.

        Raises BackendError where a named backend cannot run them.
        """
        runner = self._runners.use(self.job(spec))
        self._runners.prepare(runner)
        return runner.backend

    def warm_up(self, spec: GraphSpec, wait: bool | None = None) -> None:
        """Segments empty frames of that kind, so that the first real ones are not slow.

        What will run is warmed: a named backend is compiled before, an engine file loaded. With
        `auto`, a better backend begins to compile meanwhile. The log says how long it took. Raises
        what `segment` does; without `wait` (None: the Segmenter's) it returns at once, and the log
        says what went wrong.
        """
        if self._wait if wait is None else wait:
            self._warm_up(spec)
        else:
            self._runners.start(partial(self._try_to_warm_up, spec), "warming up")

    def close(self) -> None:
        """Ends what is still compiling, and compiles no more; from any thread, within a second.

        Kinds of frames that are ready are segmented as before, others by PyTorch, unless a backend
        is named: that raises BackendError for them.
        """
        with self._moving:
            self._closed = True
        self._runners.close()

    def _warm_up(self, spec: GraphSpec) -> None:
        started = time.monotonic()
        runner = self._runners.use(self.job(spec), at_once=True)
        if spec == self.engine_spec or not runner.at_once:
            self._runners.prepare(runner)
        shape = ENCODINGS[spec.encoding].shape(spec.height, spec.width)
        pixels = np.zeros(shape, np.uint8)
        frame = Frame(pixels, spec.encoding, spec.height, spec.width, spec.rotation)
        apart(lambda: self.segment([frame] * spec.batch, spec.confidence))
        _LOG.info("warmed up for %s in %.1f s", spec.title(), time.monotonic() - started)

    def _try_to_warm_up(self, spec: GraphSpec) -> None:
        try:
            self._warm_up(spec)
        except ClosedError:
            pass
        except Exception as error:
            _LOG.warning("not warmed up for %s: %s", spec.title(), error)

    def _make_runners(self, backends: list[Backend], engine: Path | None) -> Runners:
        self.health.backend = backends[-1].name
        for name, reason in self.health.refused.items():
            _LOG.info("backend %s is not used: %s", name, reason)
        return Runners(backends, self.health, EngineStore(self._folder, engine), self._wait)

    def _leave_lost_gpu(self, runners: Runners, error: Exception) -> bool:
        """Goes on on the CPU where the GPU has died; whether other runners are there now."""
        with self._moving:
            if runners is not self._runners:
                return True  # another thread's frame was the first
            if isinstance(error, ClosedError) or not is_lost(self.device):
                return False
            give_up(self.device)
            failure = f"{self.device} is lost, the CPU segments until the next start: {error}"
            # All that can fail comes first: until it works, each frame tries it again.
            cpu, now = torch.device("cpu"), sha256_of(self._path)
            if now != self._sha256:
                _LOG.warning("%s has changed since it was loaded, and is loaded anew", self._path)
            self._sha256 = now
            precision, calibration = choose_numbers("auto", cpu, "auto", self._path)
            network = apart(partial(self._load_network, cpu, precision))
            backends, refused = candidates("auto", cpu, network)
            _LOG.error("%s", failure)
            keep(runners, self.network)
            threading.Thread(target=runners.close, name="closing", daemon=True).start()
            self.device, self.precision, self.engine_spec = cpu, precision, None
            self.network, self.health.refused = network, refused
            self._calibration = calibration
            self._runners = self._make_runners(backends, None)
            if self._closed:
                self._runners.close()
            self.health.note_failure(failure)
            return True

    def _load_network(self, device: torch.device, precision: str) -> SegmentationNetwork:
        network = build_model(self._card, self._path)
        dtype = float_type(precision)
        return network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _check_engine_file(self, path: Path) -> GraphSpec:
        identity = read_identity(path)
        spec = spec_of(identity)
        backend = portable(identity["made_by"]["backend"])
        read_payload(path, self.job(spec).identity(backend), carried=True)
        return spec
