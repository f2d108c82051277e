"""Plots of a training run."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt


def plot_curves(tables: Sequence[Path], image: Path) -> None:
    """Draws loss and validation mIoU over the epochs of a run's metrics, one CSV per sitting."""
    rows: list[dict[str, str]] = []
    for table in tables:
        with table.open(newline="") as file:
            rows.extend(csv.DictReader(file))

    def series(name: str) -> tuple[list[int], list[float]]:
        found = [(int(row["epoch"]), float(row[name])) for row in rows if row.get(name)]
        return [epoch for epoch, _ in found], [value for _, value in found]

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(*series("loss_epoch"))
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    for name, title in (("val_miou", "val"), ("street_miou", "synthetic street")):
        epochs, values = series(name)
        if epochs:
            right.plot(epochs, values, marker=".", label=title)
    right.set(xlabel="epoch", ylabel="mIoU (%)")
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(image, dpi=120)
    plt.close(figure)
