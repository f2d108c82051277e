"""Segmenter: one call from pixels to labels."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch

from regseg_core import zoo
from regseg_core.arrays import Image
from regseg_core.backends.base import Job
from regseg_core.backends.cache import default_folder, read_identity, read_payload
from regseg_core.backends.choose import candidates, portable
from regseg_core.backends.eager import Eager
from regseg_core.backends.engine import Engine, Health
from regseg_core.backends.spec import GraphSpec
from regseg_core.device import choose_device, device_title, has_fast_bfloat16
from regseg_core.encodings import ENCODINGS, to_rgb
from regseg_core.graph import PRECISIONS
from regseg_core.labels import LabelSet
from regseg_core.weights import ModelCard, WeightsError, build_model, read_card

#: A size is compiled for once so many frames of it have come: one picture is not worth it.
COMPILE_AFTER = 3

#: So many sizes and encodings are kept ready.
_KEPT_ENGINES = 8

_LOG = logging.getLogger("regseg_core")


class FrameError(ValueError):
    """A frame that cannot be segmented: what is wrong with it and what to give instead."""


@dataclass(frozen=True)
class Segmentation:
    """What was seen in one frame of H x W pixels."""

    #: H x W uint8: the label id of each pixel.
    labels: Image
    #: H x W uint8: 255 x the softmax probability of that label; None unless asked for.
    confidence: Image | None
    label_set: LabelSet
    _frame: Image = field(repr=False)
    _encoding: str = field(repr=False)

    def mask(self) -> Image:
        """H x W x 3 uint8 RGB: each pixel in its label's colour, black where it has none."""
        return self._mask

    @cached_property
    def _mask(self) -> Image:
        palette = self.label_set.palette.reshape(256, 1, 3)
        return cv2.applyColorMap(self.labels, palette).astype(np.uint8, copy=False)

    def overlay(self, alpha: float = 0.5) -> Image:
        """H x W x 3 uint8 RGB: the frame under the mask, which has weight `alpha` (0 to 1).

        Reads the frame that was given, so call it before that memory is used again.
        Raises ValueError for an `alpha` outside 0..1.
        """
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be 0 to 1, not {alpha}")
        rgb = to_rgb(self._frame, self._encoding)
        return cv2.addWeighted(rgb, 1 - alpha, self.mask(), alpha, 0).astype(np.uint8, copy=False)


class Segmenter:
    """A trained network that takes camera frames as they come, from several threads too.

    On a GPU, the copies of one thread's frame overlap the computing of another's.

    `weights`: a name of `regseg_core.zoo.names()`, or the path of a weights file. `model` and
    `labels` (a label set, its name or YAML file) are needed only for files without a card, such as
    the published `.pth` checkpoints. `device`: auto, cpu, cuda or cuda:N. `size`: height and width
    that the network sees, None for each frame's own. `precision`: auto (float16 on a GPU, bfloat16
    on a CPU that is fast at it, else float32) or a name in `PRECISIONS`.

    `backend`: what runs the graph, a name of `regseg_core.backends.choose.BACKENDS`, compiled at
    the first frame of each size; or auto, the best that works: PyTorch segments at once, and when
    `COMPILE_AFTER` frames of one size have come, a better one is compiled beside it and taken over.
    `cache`: the folder of compiled graphs, None for none, default for the user's. `health` says
    what runs and what failed. `engine`: a file of `python -m regseg_core.compile`, made here or
    elsewhere of the same weights, for frames of its size.

    Raises FileNotFoundError, WeightsError, LabelError, BackendError for a named backend that cannot
    work here, EngineError for an engine file that does not fit, and ValueError for the other
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
        backend: str = "auto",
        cache: str | Path | None = "default",
        engine: str | Path | None = None,
    ) -> None:
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"size must be a height and a width in pixels, or None, not {size}")
        path = zoo.find(weights)
        card = _complete(read_card(path), path, model, labels)
        self.labels = card.labels
        self.device = choose_device(device)
        self.precision = _choose_precision(precision, self.device)
        self.size = size
        self.network = build_model(card, path).to(
            self.device, PRECISIONS[self.precision], memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        self.backend = backend
        self._backends, refused = candidates(backend, self.device)
        if self._backends[-1].name == Eager.name:
            self._backends[-1] = Eager(self.network)
        self.health = Health(backend=self._backends[-1].name, refused=refused)
        for name, reason in refused.items():
            _LOG.info("backend %s is not used: %s", name, reason)
        self._card, self._path = card, path
        if cache == "default":
            cache = default_folder()
        self._cache = None if cache is None else Path(cache)
        self._engine_file = None if engine is None else Path(engine)
        if self._engine_file is not None:
            self._check_engine_file(self._engine_file)
        self._engines: dict[GraphSpec, Engine] = {}
        self._lock = threading.Lock()
        self._title = f"{weights}: {card.architecture}, {len(card.labels)} classes"

    @property
    def description(self) -> str:
        """What runs where, for people."""
        return (
            f"{self._title}, {self.health.backend} {self.precision} on {self.device}"
            f" ({device_title(self.device)})"
        )

    def __call__(
        self, frame: Image, encoding: str = "bgr8", confidence: bool = False
    ) -> Segmentation:
        """Segments one frame: H x W x 3 or 4 uint8, or H x W for mono8; rows may be padded.

        Raises FrameError for another shape or dtype, or an encoding that is not in `ENCODINGS`.
        """
        pixels = _check(frame, encoding)
        spec = self.spec(pixels.shape[0], pixels.shape[1], encoding, confidence)
        engine = self._engine(spec)
        if next(engine.count) == COMPILE_AFTER:
            engine.build_better(wait=False)
        planes = [plane[0].numpy() for plane in engine(torch.from_numpy(pixels).unsqueeze(0))]
        return Segmentation(
            planes[0], planes[1] if confidence else None, self.labels, frame, encoding
        )

    def spec(
        self, height: int, width: int, encoding: str = "bgr8", confidence: bool = False
    ) -> GraphSpec:
        """What is compiled for frames of that size."""
        return GraphSpec(
            encoding,
            height,
            width,
            size=self.size,
            confidence=confidence,
            precision=self.precision,
        )

    def job(self, spec: GraphSpec) -> Job:
        """What a backend needs to compile a spec."""
        return Job(self._card, self._path, spec, self.device, self._cache, self._engine_file)

    def _check_engine_file(self, path: Path) -> None:
        identity = read_identity(path)
        job = self.job(GraphSpec(**identity["spec"]))
        backend = portable(identity["made_by"]["backend"])
        read_payload(path, job.identity(backend), carried=True)

    def _engine(self, spec: GraphSpec) -> Engine:
        with self._lock:
            engine = self._engines.pop(spec, None)
            if engine is None:
                engine = Engine(self.job(spec), self._backends, self.health)
                while len(self._engines) >= _KEPT_ENGINES:
                    self._engines.pop(next(iter(self._engines)))
            self._engines[spec] = engine  # in the order of their last use
            return engine

    def compile(
        self, height: int, width: int, encoding: str = "bgr8", confidence: bool = False
    ) -> str:
        """Compiles for frames of that size, and waits; returns the backend that then runs."""
        engine = self._engine(self.spec(height, width, encoding, confidence))
        engine.build_better(wait=True)
        return engine.backend

    def warm_up(self, height: int, width: int, encoding: str = "bgr8") -> None:
        """Segments an empty frame of that size, so that the first real one is not slow."""
        self(np.zeros((height, width, ENCODINGS[encoding].channels), np.uint8), encoding)


def _complete(
    card: ModelCard | None, path: Path, model: str | None, labels: LabelSet | str | Path | None
) -> ModelCard:
    if labels is not None and not isinstance(labels, LabelSet):
        labels = LabelSet.load(labels)
    if card is None:
        if model is None or labels is None:
            raise WeightsError(
                f"{path} does not say which network and classes it is for (a training run's"
                " weights.safetensors does): give model (such as regseg48) and labels (such as"
                " cityscapes, or a YAML file)"
            )
        return ModelCard(model, labels)
    return ModelCard(model or card.architecture, labels or card.labels, card.about)


def _choose_precision(name: str, device: torch.device) -> str:
    if name == "auto":
        if device.type == "cuda":
            return "float16"
        return "bfloat16" if has_fast_bfloat16() else "float32"
    if name not in PRECISIONS:
        raise ValueError(f"precision {name!r}: give auto, {', '.join(PRECISIONS)}")
    return name


def _check(frame: Image, encoding: str) -> Image:
    """H x W x C view of the frame."""
    if encoding not in ENCODINGS:
        raise FrameError(f"encoding {encoding!r}: convert to one of {', '.join(ENCODINGS)}")
    channels = ENCODINGS[encoding].channels
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        kind = frame.dtype if isinstance(frame, np.ndarray) else type(frame).__name__
        hint = "; cv2.imread gives None for a file that it cannot read" if frame is None else ""
        raise FrameError(f"a frame must be a numpy array of uint8, not {kind}{hint}")
    pixels = frame[:, :, None] if frame.ndim == 2 and channels == 1 else frame
    if pixels.ndim != 3 or pixels.shape[2] != channels or 0 in pixels.shape:
        shape = "H x W" if channels == 1 else f"H x W x {channels}"
        raise FrameError(f"a {encoding} frame must be {shape}, not {frame.shape}")
    if min(pixels.strides) < 0 or not pixels.flags.writeable:
        # PyTorch can share neither mirrored nor read-only memory.
        pixels = pixels.copy()
    return pixels
