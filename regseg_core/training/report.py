"""Pictures of a training run: how it went, what it confuses, where it is right and wrong."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from regseg_core.arrays import Image
from regseg_core.data.opening import open_split
from regseg_core.drawing import sheet
from regseg_core.evaluation.metrics import ConfusionMatrix
from regseg_core.evaluation.reliability import reliability
from regseg_core.evaluation.scoring import Scored, Scorer, SingleView
from regseg_core.figures import draw_reliability, save_figure
from regseg_core.labels import IGNORE_INDEX, LabelSet
from regseg_core.media import write_image
from regseg_core.segmenter import Segmenter

#: So many of the best and of the worst images are shown.
_SHOWN = 8


def write_report(run: Path, segment: Segmenter, data: str, split: str) -> list[Path]:
    """Scores `segment` on a split and draws everything into `run/report/`; returns the pictures.

    Raises DataError for data that do not fit, and FileError.
    """
    folder = run / "report"
    pictures = [save_figure(folder / "curves.png", draw_curves(read_metrics(run)))]
    scorer = Scorer(SingleView(segment), open_split(data, split, segment.labels), segment.labels)
    ranked: list[tuple[float, int]] = []
    for index, scored in enumerate(scorer):
        own = ConfusionMatrix(len(segment.labels))
        own.update(torch.from_numpy(scored.predicted), torch.from_numpy(scored.truth))
        if not math.isnan(own.mean_iou()):
            ranked.append((own.mean_iou(), index))
    ranked.sort(reverse=True)
    pictures.append(save_figure(folder / "iou.png", draw_iou(scorer.matrix, segment.labels)))
    pictures.append(
        save_figure(folder / "confusion.png", draw_confusion(scorer.matrix, segment.labels))
    )
    found = reliability(segment.network, scorer.images, segment.size)
    curves = draw_reliability(found.curves(), found.title)
    pictures.append(save_figure(folder / "reliability.png", curves))
    for name, chosen in (("best", ranked[:_SHOWN]), ("worst", ranked[::-1][:_SHOWN])):
        rows = []
        for _, index in chosen:
            image, truth = scorer.images[index]
            [predicted] = scorer.predict([image])
            title = scorer.images.title(index)
            rows.append(_panels(Scored(title, image, truth, predicted), segment.labels))
        if rows:
            titles = ("image", "label", "prediction", "error: red")
            write_image(folder / f"{name}.png", sheet(rows, titles, segment.labels.classes))
            pictures.append(folder / f"{name}.png")
    return pictures


def read_metrics(run: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics over all sittings, one CSV each.

    What a later sitting did again replaces what an earlier one did.
    """
    rows: list[dict[str, str]] = []
    tables = run.glob("metrics/version_*/metrics.csv")
    for table in sorted(tables, key=lambda path: int(path.parent.name.partition("_")[2])):
        with table.open(newline="") as file:
            sitting = list(csv.DictReader(file))
        if sitting:
            first = min(int(row["step"]) for row in sitting)
            rows = [row for row in rows if int(row["step"]) < first] + sitting
    return rows


def draw_curves(rows: Sequence[dict[str, str]]) -> Figure:
    """Loss and validation mIoU over the epochs, from `read_metrics`."""

    def series(name: str) -> tuple[list[int], list[float]]:
        found = [(int(row["epoch"]) + 1, float(row[name])) for row in rows if row.get(name)]
        return [epoch for epoch, _ in found], [value for _, value in found]

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(*series("loss_epoch"), marker=".")
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    for name, title in (("val_miou", "val"), ("street_miou", "synthetic street")):
        epochs, values = series(name)
        if epochs:
            right.plot(epochs, values, marker=".", label=title)
    right.set(xlabel="epoch", ylabel="mIoU (%)")
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def draw_iou(matrix: ConfusionMatrix, labels: LabelSet) -> Figure:
    """A bar for each class's IoU, best first; classes that do not occur are left out."""
    values = zip(matrix.iou(), labels.classes, strict=True)
    known = [(value, entry) for value, entry in values if not math.isnan(value)]
    known.sort(key=lambda pair: pair[0])
    figure, axes = plt.subplots(figsize=(7, 0.35 * len(known) + 1.5), layout="constrained")
    colors = [tuple(part / 255 for part in entry.color) for _, entry in known]
    bars = axes.barh(
        [entry.name for _, entry in known],
        [100 * value for value, _ in known],
        color=colors,
        edgecolor="gray",
    )
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set(xlabel="IoU (%)", xlim=(0, 108), title=f"mIoU {100 * matrix.mean_iou():.1f} %")
    return figure


def draw_confusion(matrix: ConfusionMatrix, labels: LabelSet) -> Figure:
    """Which share of each class's pixels (rows) was taken for which class (columns)."""
    counts = matrix.counts.double().numpy()
    shares = 100 * counts / np.maximum(1, counts.sum(1, keepdims=True))
    size = 0.55 * len(labels) + 2
    figure, axes = plt.subplots(figsize=(size, size), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    indices = range(len(labels))
    axes.set_xticks(indices, labels.names, rotation=60, ha="right")
    axes.set_yticks(indices, labels.names)
    axes.set(xlabel="predicted", ylabel="true", title="share of a class's pixels, %")
    for row in indices:
        for column in indices:
            share = shares[row, column]
            if share >= 0.5:
                ink = "white" if share > 50 else "black"
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=ink)
    return figure


def _panels(scored: Scored, labels: LabelSet) -> list[Image]:
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(labels)] = [entry.color for entry in labels.classes]
    counted = scored.truth != IGNORE_INDEX
    error = scored.image // 3
    error[(scored.predicted != scored.truth) & counted] = (255, 40, 40)
    return [scored.image, palette[scored.truth], palette[scored.predicted], error]
