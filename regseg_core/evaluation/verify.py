"""The gate: a compiled graph must score like PyTorch in float32 on labelled images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from tqdm import tqdm

from regseg_core.arrays import Image
from regseg_core.backends.base import BackendError, Compiled, Job
from regseg_core.backends.eager import Eager
from regseg_core.backends.spec import GraphSpec
from regseg_core.data.labelled import Titled
from regseg_core.encodings import ENCODINGS
from regseg_core.evaluation.change import Change
from regseg_core.evaluation.metrics import ConfusionMatrix

#: Points of mIoU, in percent, that a compiled graph may lose.
MEAN_MAY_LOSE = 0.2


@dataclass(frozen=True)
class Comparison(Change):
    """IoU of each class by PyTorch in float32, before, and compiled, after."""

    #: Share of the pixels with the same label, in percent.
    agreement: float
    images: int

    def __str__(self) -> str:
        return (
            f"{self.table('PyTorch', 'compiled')}\n"
            f"mean points lost {self.mean_lost:.2f} on {self.images} images;"
            f" {self.agreement:.2f} % of the pixels have the same label"
        )

    def refuse_if_worse(self) -> None:
        """Raises BackendError where more is lost than may be."""
        if why := self.why_worse():
            raise BackendError(f"the compiled graph is refused: {why}")

    def why_worse(self) -> str:
        """Which losses are larger than they may be; empty where none is."""
        mean = ""
        if self.mean_lost > MEAN_MAY_LOSE:
            mean = f"mIoU falls by {self.mean_lost:.2f} points (at most {MEAN_MAY_LOSE})"
        return "; ".join(filter(None, (mean, self.worst)))


def compare(compiled: Compiled, job: Job, images: Titled) -> Comparison:
    """Runs both graphs over labelled images, which are brought to the graph's size.

    Raises DataError for an image or label that cannot be read.
    """
    spec, labels = job.spec, job.card.labels
    exact = Eager().build(replace(job, spec=replace(spec, precision="float32")))
    matrices = [ConfusionMatrix(len(labels)) for _ in range(2)]
    same = 0
    for index in tqdm(range(len(images)), unit="image", desc="verifying", leave=False):
        image, truth = images[index]
        frames = torch.from_numpy(frames_of(image, spec)).to(job.device)
        size = (spec.width, spec.height)
        truth = _as_mounted(truth, spec)
        truth = cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8)
        found = [run(frames)[0][0].cpu().numpy() for run in (exact, compiled)]
        for matrix, predicted in zip(matrices, found, strict=True):
            indices = torch.from_numpy(labels.to_indices(predicted))
            matrix.update(indices, torch.from_numpy(truth))
        same += int((found[0] == found[1]).sum())

    def percent(matrix: ConfusionMatrix) -> list[float | None]:
        return [None if math.isnan(value) else 100 * value for value in matrix.iou()]

    agreement = 100 * same / (len(images) * spec.height * spec.width)
    exact_iou, compiled_iou = map(percent, matrices)
    return Comparison(labels.names, exact_iou, compiled_iou, agreement, len(images))


def frames_of(image: Image, spec: GraphSpec) -> Image:
    """Uint8 of a spec's shape: an upright RGB image as the camera sends it, for each of a batch."""
    image = cv2.resize(_as_mounted(image, spec), (spec.width, spec.height)).astype(
        np.uint8, copy=False
    )
    pixels = ENCODINGS[spec.encoding].from_rgb(image)[None]
    return np.ascontiguousarray(np.repeat(pixels, spec.batch, axis=0))


def _as_mounted(upright: Image, spec: GraphSpec) -> Image:
    """Turned as a camera sees it whose images the spec turns upright."""
    return np.ascontiguousarray(np.rot90(upright, spec.rotation // 90))
