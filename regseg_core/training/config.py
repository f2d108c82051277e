"""What a training run is made of: every setting in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingConfig:
    """The paper's training (section 4.1) scaled to images of 480 x 360 pixels."""

    model: str = _setting("regseg48", "network, see regseg_core.model_names()")
    epochs: int = _setting(100, "passes over the training images")
    batch_size: int = _setting(12, "images in a step")
    lr: float = _setting(0.05, "learning rate at the end of the warm-up")
    momentum: float = _setting(0.9, "momentum of SGD")
    weight_decay: float = _setting(1e-4, "weight decay, of convolutions only")
    warmup_iterations: int = _setting(
        200, "steps of rising learning rate, at most a quarter of all"
    )
    crop_height: int = _setting(360, "rows of a training crop")
    crop_width: int = _setting(480, "columns of a training crop")
    short_side_min: int = _setting(144, "least pixels of an image's short side after resizing")
    short_side_max: int = _setting(576, "most pixels of an image's short side after resizing")
    ema_decay: float = _setting(0.998, "share of the averaged weights kept at each step")
    synthetic: int = _setting(0, "frames of the synthetic street in an epoch (label set camvid)")
    validate_every: int = _setting(5, "epochs between two validations")
    seed: int = _setting(0, "of all random numbers")

    def __post_init__(self) -> None:
        """Raises ValueError for settings that exclude one another."""
        if not 1 <= self.short_side_min <= self.short_side_max:
            raise ValueError(
                f"short_side_min {self.short_side_min} must be at least 1 and no more than"
                f" short_side_max {self.short_side_max}"
            )
        for name in ("epochs", "batch_size", "crop_height", "crop_width", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")


def lr_factor(iteration: int, total: int, warmup: int) -> float:
    """The paper's schedule: polynomial decay of power 0.9, with a linear warm-up from a tenth."""
    decay = math.pow(1 - iteration / total, 0.9)
    return decay * min(1.0, 0.1 + 0.9 * iteration / max(1, warmup))
