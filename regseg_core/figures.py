"""Plots that are written whole, without a screen."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import BboxBase

from regseg_core.arrays import Doubles
from regseg_core.files import write_bytes


def save_figure(path: Path, figure: Figure) -> Path:
    """Writes a figure as PNG, closes it and returns the path. Raises FileError."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    plt.close(figure)
    write_bytes(path, buffer.getvalue())
    return path


def draw_bars(values: Mapping[str, Sequence[float]], unit: str, title: str) -> Figure:
    """A bar for the median of each name's measurements, and a line from least to greatest."""
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(values) + 1.3), layout="constrained")
    medians = [statistics.median(entry) for entry in values.values()]
    below = [m - min(entry) for m, entry in zip(medians, values.values(), strict=True)]
    above = [max(entry) - m for m, entry in zip(medians, values.values(), strict=True)]
    bars = axes.barh(list(values), medians, xerr=(below, above), capsize=3, color="steelblue")
    axes.bar_label(bars, fmt="%.1f", padding=8)
    axes.invert_yaxis()
    axes.set(xlabel=unit, title=title, xlim=(0, 1.15 * max(map(max, values.values()))))
    axes.grid(axis="x", alpha=0.3)
    return figure


def draw_points(
    points: Mapping[str, tuple[float, float]], axes_titles: tuple[str, str], title: str
) -> Figure:
    """A named point each; x on a logarithmic scale."""
    figure, axes = plt.subplots(figsize=(9, 6.5), layout="constrained")
    dots = []
    for name, (x, y) in points.items():
        color = "darkorange" if name.startswith("regseg") else "steelblue"
        dots += axes.plot(x, y, "o", color=color)
    axes.set(xlabel=axes_titles[0], ylabel=axes_titles[1], title=title, xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.15, 0.1)
    axes.grid(which="both", alpha=0.3)
    figure.draw_without_rendering()
    taken: list[BboxBase] = [dot.get_window_extent() for dot in dots]
    for name, point in points.items():
        taken.append(_name_point(axes, name, point, taken))
    return figure


def _name_point(
    axes: Axes, name: str, point: tuple[float, float], taken: Sequence[BboxBase]
) -> BboxBase:
    """Writes a name beside its point, at a free place if there is one; returns its box."""

    def written(side: int, up: int) -> Annotation:
        return axes.annotate(
            name,
            point,
            xytext=(side, up),
            textcoords="offset points",
            fontsize=8,
            va="center",
            ha="left" if side > 0 else "right",
        )

    for side, up in ((6, 0), (-6, 0), (6, 9), (-6, 9), (6, -9), (-6, -9)):
        text = written(side, up)
        box = text.get_window_extent()
        if box.x1 < axes.bbox.x1 and not any(box.overlaps(other) for other in taken):
            return box
        text.remove()
    return written(6, 0).get_window_extent()


def draw_reliability(curves: Mapping[str, tuple[Doubles, Doubles, Doubles]], title: str) -> Figure:
    """How often pixels are right against how sure the network is.

    Of each curve: means of confidence and of what is right, by bins; and all bins' shares.
    """
    figure, axes = plt.subplots(figsize=(6, 5.5), layout="constrained")
    axes.plot((0, 1), (0, 1), color="gray", linewidth=0.8)
    for (name, curve), color in zip(curves.items(), ("steelblue", "darkorange"), strict=True):
        confidence, right, share = curve
        axes.plot(confidence, right, "o-", color=color, label=name)
        middles = (np.arange(len(share)) + 0.5) / len(share)
        axes.bar(middles, share, 0.9 / len(share), color=color, alpha=0.25)
    axes.set(xlabel="confidence", ylabel="share of pixels: right (lines), so sure (bars)")
    axes.set_title(title)
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    return figure
