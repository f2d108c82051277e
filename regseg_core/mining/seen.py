"""What the network makes of a frame, before it is a label: what measures and likeness look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from regseg_core.arrays import Image
from regseg_core.device import tune
from regseg_core.frame import Frame, Kind, by_kind, stacked
from regseg_core.graph import SegmentationGraph
from regseg_core.segmenter import Segmenter

#: Pixels of the small gray image's long side, and the least of its short one. Of ten CamVid frames
#: 1/15 s apart 94 % of the pixels could be followed at 160, in 4 ms of one core, and 93 % at 480,
#: in 44 ms.
LONG_SIDE, SHORT_SIDE = 160, 32


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame as the network saw it."""

    time_ns: int
    #: C x h x w float32, on the network's device: its logits before they are upsampled.
    logits: Tensor
    #: Of the frame: H x W uint8, LONG_SIDE pixels long.
    gray: Image

    @cached_property
    def probabilities(self) -> Tensor:
        """C x h x w float32, on the network's device; they add up to 1 over the classes."""
        return self.logits.softmax(0)

    @cached_property
    def labels(self) -> Image:
        """H x W uint8 class indices, of the size of `gray`."""
        size = self.gray.shape
        upsampled = F.interpolate(self.logits[None], size=size, mode="bilinear")
        labels: Image = upsampled[0].argmax(0).to("cpu", torch.uint8).numpy()
        return labels


def small_gray(frame: Frame) -> Image:
    """The frame, LONG_SIDE pixels long: H x W uint8."""
    factor = LONG_SIDE / max(frame.height, frame.width)
    size = [max(SHORT_SIDE, round(length * factor)) for length in (frame.width, frame.height)]
    small = cv2.resize(frame.rgb(), size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


class Viewer:
    """Runs a segmenter's network for its logits: by PyTorch, at the size that the segmenter has."""

    def __init__(self, segment: Segmenter) -> None:
        self._segment = segment
        self._graphs: dict[Kind, SegmentationGraph] = {}
        tune(segment.device)

    @torch.inference_mode()
    def logits(self, frames: Sequence[Frame]) -> list[Tensor]:
        """C x h x w float32 of each frame, on the network's device.

        Frames of one kind run as one batch.
        """
        return by_kind(frames, self._logits)

    def _logits(self, frames: list[Frame]) -> Tensor:
        """N x C x h x w float32 of frames of one kind."""
        graph = self._graph(frames[0].kind)
        pixels = stacked(frames).to(self._segment.device)
        return graph.logits(graph.decode(pixels)).float()

    def _graph(self, kind: Kind) -> SegmentationGraph:
        if kind not in self._graphs:
            segment = self._segment
            spec = segment.spec(kind.height, kind.width, kind.encoding, rotation=kind.rotation)
            graph = segment.job(spec).graph_of(segment.network)
            self._graphs[kind] = graph.to(segment.device)
        return self._graphs[kind]
