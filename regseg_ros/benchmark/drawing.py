"""The benchmark's plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from regseg_core.figures import save_figure
from regseg_ros.benchmark.figures import Figures
from regseg_ros.benchmark.operators import PARTS
from regseg_ros.benchmark.profile import REST_OF_CALL


def draw_profile(pieces: Mapping[str, float], whole: Figures, title: str, path: Path) -> Path:
    """A frame's pieces in ms as one bar, and below it those outside of the Segmenter's call.

    Raises FileError.
    """
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(11, 5.4), layout="constrained")
    outside = {name: value for name, value in pieces.items() if name not in (*PARTS, REST_OF_CALL)}
    colors = dict(zip(pieces, plt.colormaps["tab20"].colors, strict=False))  # type: ignore[attr-defined]
    for axes, parts, what in (
        (upper, pieces, "one frame, from the camera's stamp to the mask in another process"),
        (lower, outside, "the same without the Segmenter's call"),
    ):
        left = 0.0
        for name, value in parts.items():
            label = f"{name} {value:.2f}" if axes is upper else None
            axes.barh(0, value, left=left, color=colors[name], label=label)
            left += value
        axes.set(xlabel="ms", title=f"{what}: {left:.1f} ms", yticks=[], xlim=(0, left))
    figure.legend(ncols=5, loc="outside lower center")
    figure.suptitle(f"{title}\nthe whole node in the same run: p50 {whole.p50:.1f} ms")
    return save_figure(path, figure)


def draw_sweep(rows: Sequence[tuple[float, Figures]], title: str, path: Path) -> Path:
    """Latency and loss against the rate of the camera, with 1 / call. Raises FileError."""
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(8, 7), sharex=True, layout="constrained", height_ratios=(2, 1)
    )
    rates = [rate for rate, _ in rows]
    for name, marker in (("p50", "o"), ("p95", "^"), ("p99", "x")):
        upper.plot(rates, [getattr(f, name) for _, f in rows], marker=marker, label=name)
    call = sorted(f.call for _, f in rows)[len(rows) // 2]
    upper.axhline(call, color="gray", linestyle=":", label=f"Segmenter call, {call:.1f} ms")
    upper.set(ylabel="latency (ms)", title=title, ylim=(0, None))
    for key, what in (("dropped", "dropped by the node"), ("lost", "lost on the way to it")):
        shares = [100 * getattr(f, key) / max(1, f.sent) for _, f in rows]
        lower.plot(rates, shares, marker="o", label=what)
    ideal = [100 * max(0.0, 1 - 1e3 / call / rate) for rate in rates]
    lower.plot(rates, ideal, color="gray", linestyle=":", label="the least there can be")
    lower.set(ylabel="frames (%)", xlabel="frames a second that the camera sends", ylim=(-2, 100))
    for axes in (upper, lower):
        axes.axvline(
            1e3 / call, color="black", linestyle="--", label=f"1 / call, {1e3 / call:.1f} Hz"
        )
        axes.grid(alpha=0.3)
        axes.legend()
    return save_figure(path, figure)
