"""Losses over pixels: none waits for the device, none is NaN where nothing is labelled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.labels import IGNORE_INDEX
from regseg_core.model import Term
from regseg_core.training.config import LossConfig
from regseg_core.training.distributed import mean_over_processes
from regseg_core.training.edges import EDGE_LOSSES
from regseg_core.training.lovasz import lovasz_softmax


def class_weights(pixels: npt.NDArray[np.int64], power: float = 1.0) -> Tensor:
    """float32 weight of each class from its count of labelled pixels: rare ones weigh more.

    ENet's rule (arXiv 1606.02147, section 5.1) to a power, which at 0 makes all classes alike,
    scaled so that the mean weight of a pixel is 1.
    """
    share = torch.from_numpy(pixels).double() / max(1, pixels.sum())
    weights = torch.log(1.02 + share) ** -power
    scaled: Tensor = weights / (weights * share).sum().clamp(min=1e-12)
    return scaled.float()


class PixelLoss(nn.Module):
    """The loss that a LossConfig describes: N x C x H x W logits, N x H x W truth -> scalar.

    Pixels of truth IGNORE_INDEX do not count. In several processes, the mean of the results (and
    so of the gradients) is what one process gets for all pixels; only the bootstrapped loss's
    least share and the IoU of the Lovasz-softmax are each process's own.
    """

    def __init__(self, config: LossConfig, weights: Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        # No buffer, which a moving average of the weights would average and swap.
        self.weights = weights

    def forward(self, logits: Tensor, truth: Tensor) -> Tensor:
        truth = truth.long()
        loss = self._of_pixels(logits, truth)
        if self.config.lovasz:
            loss = loss + self.config.lovasz * lovasz_softmax(logits, truth)
        return loss

    def _of_pixels(self, logits: Tensor, truth: Tensor) -> Tensor:
        if self.weights is not None:
            self.weights = self.weights.to(logits.device)
        losses = F.cross_entropy(
            logits.float(), truth, self.weights, ignore_index=IGNORE_INDEX, reduction="none"
        ).flatten()
        if self.config.kind == "bootstrapped":
            return self._bootstrapped(losses, (truth != IGNORE_INDEX).sum())
        if self.weights is None:
            total = (truth != IGNORE_INDEX).sum().float()
        else:
            extended = torch.cat([self.weights, self.weights.new_zeros(256 - len(self.weights))])
            total = extended[truth].sum()
        return losses.sum() / mean_over_processes(total).clamp(min=1e-6)

    def _bootstrapped(self, losses: Tensor, labelled: Tensor) -> Tensor:
        """Mean of the losses above the threshold, or of the hardest share if these are fewer.

        The share is of all pixels, and no more than are labelled.
        """
        least = max(1, int(losses.numel() * self.config.hardest))
        hardest = torch.topk(losses, least, sorted=False).values
        above = losses > self.config.threshold
        count = above.sum()
        enough = count >= least
        total = torch.where(enough, (losses * above).sum(), hardest.sum())
        kept = torch.where(enough, count, labelled.clamp(max=least)).float()
        return total / mean_over_processes(kept).clamp(min=1e-6)


def weighted_loss(term: Term, truth: Tensor, pixels: PixelLoss) -> Tensor:
    """What a term adds to a step's loss: N x H x W truth -> scalar, times the term's weight."""
    if term.where is not None:
        truth = truth.masked_fill(~term.where, IGNORE_INDEX)
    loss = pixels if term.target == "classes" else EDGE_LOSSES[term.target]
    return term.weight * loss(term.logits, truth)
