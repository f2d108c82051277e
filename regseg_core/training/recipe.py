"""What a training run is made of: every setting in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The paper's recipe (section 4.1) scaled to images of 480 x 360 pixels."""

    model: str = "regseg48"
    epochs: int = 100
    batch_size: int = 12
    #: Learning rate at the end of the warm-up.
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup_iterations: int = 200
    crop_height: int = 360
    crop_width: int = 480
    #: The image's short side is resized to a random length between these, in pixels.
    short_side_min: int = 144
    short_side_max: int = 576
    #: Share of the old average kept at each step by the moving average of the weights.
    ema_decay: float = 0.998
    #: Frames of the synthetic street in each epoch, beside the data set's own.
    synthetic: int = 0
    #: Epochs between two validations.
    validate_every: int = 5
    seed: int = 0


def lr_factor(iteration: int, total: int, warmup: int) -> float:
    """The paper's schedule: polynomial decay of power 0.9, with a linear warm-up from a tenth."""
    decay = (1 - iteration / total) ** 0.9
    return decay * min(1.0, 0.1 + 0.9 * iteration / max(1, warmup))
