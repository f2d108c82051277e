"""What a training run is made of: every setting in one place, with its unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from regseg_core.errors import ArgumentError

#: Streets for training.
STREETS = 5000


@dataclass(frozen=True)
class DatasetConfig:
    """Which images are trained on, and how often."""

    labels: str | None = None
    """built-in label set or YAML file; null: the data set's own"""
    train: tuple[str, ...] = ("train",)
    """splits to train on"""
    val: str = "val"
    """split to score on; if it is trained on too, the last epoch is kept instead of the best"""
    class_uniform: float = 0.0
    """share of an epoch that shows every class equally often (0 to 1; paper: 0.5)"""
    tile: int = 1024
    """side in pixels of the squares in which a class's place is its centroid"""
    street: int = 0
    """frames of the synthetic street added to an epoch (label set camvid)"""
    workers: int = 2
    """loader processes of each training process"""


@dataclass(frozen=True)
class AugmentConfig:
    """How a training image is varied."""

    crop_height: int = 360
    """rows of a training crop, pixels"""
    crop_width: int = 480
    """columns of a training crop, pixels"""
    short_side_min: int = 144
    """least length of an image's short side after resizing, pixels"""
    short_side_max: int = 576
    """greatest length of an image's short side after resizing, pixels"""
    operations: int = 2
    """how many of the seven picture operations of the reduced random augmentation"""
    magnitude: float = 0.2
    """strength of these operations (0 to 1)"""
    light: float = 0.0
    """how far exposure, contrast and white balance vary: 0.7 is from half to twice as bright"""


@dataclass(frozen=True)
class LossConfig:
    """What is minimised."""

    kind: Literal["cross-entropy", "bootstrapped"] = "cross-entropy"
    """bootstrapped: the mean over pixels of a loss above the threshold alone"""
    threshold: float = 0.3
    """of the bootstrapped loss, nats"""
    hardest: float = 0.0625
    """least share of the pixels that the bootstrapped loss keeps, the hardest (0 to 1)"""
    class_weights: float = 0.0
    """power of the classes' weights 1 / ln(1.02 + share of the pixels), ENet's; 0: all the same"""
    lovasz: float = 0.0
    """how much of the Lovasz-softmax, one minus the mean IoU, is added for each head"""


@dataclass(frozen=True)
class OptimizerConfig:
    """What takes the steps, and their schedule."""

    kind: Literal["sgd", "adamw"] = "sgd"
    """gradient descent, or AdamW, which wants about lr 0.002 and weight_decay 0.01"""
    lr: float = 0.05
    """learning rate at the end of the warm-up"""
    momentum: float = 0.9
    """share of the last step that is kept; AdamW has its own"""
    weight_decay: float = 1e-4
    """pull towards zero, of convolutions only"""
    warmup: int = 200
    """steps of rising learning rate; at most a quarter of all"""
    clip_norm: float | None = None
    """greatest norm of a step's gradient; null: any"""
    ema_decay: float = 0.998
    """share of the averaged weights, the ones that are kept, that remains at each step; 0: none"""


@dataclass(frozen=True)
class TrainingConfig:
    """The paper's training (section 4.1); the defaults are scaled to images of 480 x 360 pixels."""

    model: str = "regseg48"
    """network, see regseg_core.model_names()"""
    start_from: str | None = None
    """first weights: shipped ones by name, or a file (published, or of its ImageNet backbone)"""
    epochs: int = 100
    """passes over the training images"""
    batch_size: int = 12
    """images in a step, over all processes"""
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """of the multiplications; auto: float16 on a GPU, bfloat16 on a CPU that is fast at it"""
    validate_every: int = 5
    """epochs between two validations"""
    seed: int = 0
    """of all random numbers"""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        """Raises ArgumentError for settings that are out of range or exclude one another."""
        augment = self.augment
        if not 1 <= augment.short_side_min <= augment.short_side_max:
            raise ArgumentError(
                f"augment.short_side_min {augment.short_side_min} must be at least 1 and no more"
                f" than short_side_max {augment.short_side_max}"
            )
        optimizer = self.optimizer
        at_least: dict[str, tuple[float, float]] = {
            "epochs": (self.epochs, 1),
            "batch_size": (self.batch_size, 1),
            "validate_every": (self.validate_every, 1),
            "seed": (self.seed, 0),
            "augment.crop_height": (augment.crop_height, 1),
            "augment.crop_width": (augment.crop_width, 1),
            "augment.operations": (augment.operations, 0),
            "augment.light": (augment.light, 0),
            "loss.class_weights": (self.loss.class_weights, 0),
            "loss.lovasz": (self.loss.lovasz, 0),
            "dataset.tile": (self.dataset.tile, 1),
            "dataset.workers": (self.dataset.workers, 0),
            "optimizer.lr": (optimizer.lr, 0),
            "optimizer.momentum": (optimizer.momentum, 0),
            "optimizer.weight_decay": (optimizer.weight_decay, 0),
            "optimizer.warmup": (optimizer.warmup, 0),
            "optimizer.clip_norm": (optimizer.clip_norm or 0, 0),
        }
        for name, (value, least) in at_least.items():
            if not value >= least:  # NaN too
                raise ArgumentError(f"{name} must be at least {least}, not {value}")
        shares: dict[str, float] = {
            "dataset.class_uniform": self.dataset.class_uniform,
            "loss.hardest": self.loss.hardest,
            "optimizer.ema_decay": self.optimizer.ema_decay,
        }
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ArgumentError(f"{name} must be from 0 to 1, not {share}")
        if not 0 <= self.dataset.street <= STREETS:
            raise ArgumentError(
                f"dataset.street must be from 0 to {STREETS}, not {self.dataset.street}"
            )
        if self.seed >= 2**32:
            raise ArgumentError(f"seed must be below 2^32, not {self.seed}")
        if not self.dataset.train:
            raise ArgumentError("dataset.train must name at least one split")

    @property
    def trains_on_val(self) -> bool:
        """Whether scores on `dataset.val` say nothing about how well a run does."""
        return self.dataset.val in self.dataset.train


def lr_factor(iteration: int, total: int, warmup: int) -> float:
    """The paper's schedule: polynomial decay of power 0.9, with a linear warm-up from a tenth."""
    decay = math.pow(1 - iteration / total, 0.9)
    return decay * min(1.0, 0.1 + 0.9 * iteration / max(1, warmup))
