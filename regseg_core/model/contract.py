"""What every network offers to the graph, the weights, the trainer and the benchmark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from regseg_core.model.layers import resize_like


@dataclass(frozen=True)
class Normalization:
    """What a network wants its input normalised with: per channel R, G, B of values in 0..1.

    `order` is the order in which it takes the channels.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    order: Literal["rgb", "bgr"] = "rgb"

    @property
    def fill(self) -> tuple[int, int, int]:
        """The colour of 0..255 that it turns into zeros: padding that the network does not see."""
        red, green, blue = (int(255 * value) for value in self.mean)
        return red, green, blue

    def to_dict(self) -> dict[str, object]:
        """As a model card has it."""
        return {"mean": list(self.mean), "std": list(self.std), "order": self.order}


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

#: What logits of a training step are compared with: the pixel loss, or a row of
#: `regseg_core.training.edges.EDGE_LOSSES`.
Target = Literal["classes", "detail", "boundary"]


@dataclass(frozen=True)
class Term:
    """One addend of a training step's loss."""

    #: N x C x H x W of the images' size; one channel where the target is no class.
    logits: Tensor
    weight: float = 1.0
    target: Target = "classes"
    #: N x H x W bool: the pixels that count; None for all.
    where: Tensor | None = None


class SegmentationNetwork(nn.Module, ABC):
    """Images in, one score a class and pixel out.

    Wherever a convolution feeds a normalisation alone, the two are registered one after the other,
    or the convolution ends a Sequential there: `fold_norms` goes by that, and the tests of every
    network hold it to it.
    """

    num_classes: int
    #: The least height and width of an image.
    min_size: int
    normalization: Normalization
    #: Parameters whose shape depends on the number of classes.
    classifier_names: tuple[str, ...]
    #: Modules that `forward_training` alone uses; weights may lack them, and ours do.
    training_heads: tuple[str, ...] = ()

    @abstractmethod
    def forward_low(self, images: Tensor) -> Tensor:
        """Float N x 3 x H x W, normalised -> logits N x C x h x w, before upsampling.

        Raises ValueError for another shape, or H or W below `min_size`.
        """

    def forward(self, images: Tensor) -> Tensor:
        """Float N x 3 x H x W, normalised -> logits N x C x H x W.

        Raises ValueError as `forward_low` does.
        """
        return resize_like(self.forward_low(images), images)

    def forward_training(self, images: Tensor) -> Sequence[Term]:
        """Float N x 3 x H x W, normalised -> the addends of the loss, the main logits' first."""
        return [Term(self(images))]

    @staticmethod
    def rename(published: str) -> str | None:
        """Our name of a tensor in published weights; None for one that no path uses."""
        return published

    @staticmethod
    def rename_backbone(published: str) -> str | None:
        """Our name of a tensor in weights of its classification backbone; None for all others."""
        return None

    def trains_only(self, name: str) -> bool:
        """Whether a tensor of that name is a training head's."""
        return name.startswith(tuple(f"{head}." for head in self.training_heads))

    def drop_training_heads(self) -> None:
        """Removes what inference does not use; `forward_training` then fails."""
        for name in self.training_heads:
            parent, _, child = name.rpartition(".")
            delattr(self.get_submodule(parent), child)
        self.training_heads = ()

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return next(self.parameters()).dtype


def check_images(images: Tensor, min_size: int) -> None:
    """Raises ValueError for what is not N x 3 x H x W with H and W of at least `min_size`."""
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[-2:]) < min_size:
        raise ValueError(
            f"images must be N x 3 x H x W with H and W of at least {min_size},"
            f" not {tuple(images.shape)}"
        )
