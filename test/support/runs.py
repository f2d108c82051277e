"""What a training run has left behind."""

from __future__ import annotations

from pathlib import Path

from regseg_core.training.report import read_metrics


def losses(run: Path) -> list[float]:
    """The loss of each step of all sittings."""
    return [float(row["loss_step"]) for row in read_metrics(run) if row.get("loss_step")]
