"""What people look at first: accuracy against milliseconds, one point a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regseg_core.benchmark.network_table import Row
from regseg_core.figures import draw_bars, draw_points, save_figure


def draw(rows: Sequence[Row], title: str, folder: Path) -> None:
    """A plot for each size: points where networks were scored, bars of their speed elsewhere."""
    for size in dict.fromkeys((row.height, row.width) for row in rows):
        measured = [row for row in rows if (row.height, row.width) == size and row.times]
        where = f"{size[0]} x {size[1]}, {title}"
        path = folder / f"networks-{size[0]}x{size[1]}.png"
        scored = {r.network: (r.best[1], r.miou) for r in measured if r.miou is not None}
        if scored:
            axes = "ms a frame, by the fastest backend", "mIoU after a short training, %"
            save_figure(path, draw_points(scored, axes, where))
        elif measured:
            bars = {row.network: [row.best[1]] for row in measured}
            save_figure(path, draw_bars(bars, "ms a frame, by the fastest backend", where))
