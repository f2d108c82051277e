"""Scores over one confusion matrix of a whole set."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from regseg_core.labels import IGNORE_INDEX


class ConfusionMatrix:
    """Counts pixels by true class (rows) and predicted class (columns)."""

    def __init__(self, num_classes: int) -> None:
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Adds integer class indices of one shape; pixels whose truth is IGNORE_INDEX do not count.

        Raises ValueError for different shapes or an index outside the classes.
        """
        if predicted.shape != truth.shape:
            raise ValueError(f"predicted {tuple(predicted.shape)}, truth {tuple(truth.shape)}")
        classes, side = len(self.counts), IGNORE_INDEX + 1
        beyond = f"class indices reach beyond {classes} classes"
        if predicted.numel() and max(int(predicted.max()), int(truth.max())) >= side:
            raise ValueError(beyond)
        # All pixels in one pass: to pick those that count takes ten times as long as to count.
        pairs = torch.bincount((truth.int() * side + predicted).flatten(), minlength=side**2)
        pairs = pairs.reshape(side, side)[:IGNORE_INDEX]
        counted = pairs[:classes, :classes]
        if pairs.sum() > counted.sum():
            raise ValueError(beyond)
        self.counts += counted.cpu()

    def iou(self) -> list[float]:
        """Intersection over union of each class; NaN for one neither labelled nor predicted."""
        hits = self.counts.diagonal().double()
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        return [float(h / u) if u else math.nan for h, u in zip(hits, union, strict=True)]

    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur; NaN where none does."""
        present = [value for value in self.iou() if not math.isnan(value)]
        return sum(present) / len(present) if present else math.nan

    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that are right; NaN where none was counted."""
        total = int(self.counts.sum())
        return int(self.counts.diagonal().sum()) / total if total else math.nan

    def scores(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The three as plain numbers for JSON, in percent; None for a class that never occurs."""

        def percent(value: float) -> float | None:
            return None if math.isnan(value) else round(100 * value, 2)

        return {
            "mean_iou": percent(self.mean_iou()),
            "pixel_accuracy": percent(self.pixel_accuracy()),
            "iou": dict(zip(names, map(percent, self.iou()), strict=True)),
        }
