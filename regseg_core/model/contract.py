"""What every network offers to the graph, the weights, the trainer and the benchmark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Normalization:
    """What a network wants its input normalised with: per channel R, G, B of values in 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def fill(self) -> tuple[int, int, int]:
        """The colour of 0..255 that it turns into zeros: padding that the network does not see."""
        red, green, blue = (int(255 * value) for value in self.mean)
        return red, green, blue

    def to_dict(self) -> dict[str, object]:
        """As a model card has it."""
        return {**{key: list(value) for key, value in asdict(self).items()}, "order": "rgb"}


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

#: Logits of a training step, N x C x h x w of any size, each with the weight of its loss.
WeightedLogits = Sequence[tuple[Tensor, float]]


class SegmentationNetwork(nn.Module, ABC):
    """Images in, one score a class and pixel out.

    Wherever a convolution feeds a normalisation alone, the two are registered one after the other:
    `fold_norms` goes by that, and the tests of every network hold it to it.
    """

    num_classes: int
    #: The least height and width of an image.
    min_size: int
    normalization: Normalization
    #: Parameters whose shape depends on the number of classes.
    classifier_names: tuple[str, ...]

    @abstractmethod
    def forward_low(self, images: Tensor) -> Tensor:
        """Float N x 3 x H x W, normalised -> logits N x C x h x w, before upsampling.

        Raises ValueError for another shape, or H or W below `min_size`.
        """

    def forward(self, images: Tensor) -> Tensor:
        """Float N x 3 x H x W, normalised -> logits N x C x H x W.

        Raises ValueError as `forward_low` does.
        """
        return upsample(self.forward_low(images), images)

    def forward_training(self, images: Tensor) -> WeightedLogits:
        """Float N x 3 x H x W, normalised -> logits N x C x H x W with the weight of their loss.

        The main ones first; networks with auxiliary heads add theirs.
        """
        return [(self(images), 1.0)]

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return next(self.parameters()).dtype


def upsample(logits: Tensor, images: Tensor) -> Tensor:
    """N x C x h x w -> N x C x H x W of the images, bilinear."""
    return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


def check_images(images: Tensor, min_size: int) -> None:
    """Raises ValueError for what is not N x 3 x H x W with H and W of at least `min_size`."""
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[-2:]) < min_size:
        raise ValueError(
            f"images must be N x 3 x H x W with H and W of at least {min_size},"
            f" not {tuple(images.shape)}"
        )
