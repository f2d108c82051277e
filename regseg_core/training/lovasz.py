"""Lovasz-softmax: one minus the mean IoU, extended to classes that are taken by halves."""

from __future__ import annotations

import torch
from torch import Tensor

from regseg_core.labels import IGNORE_INDEX

#: Every second row and column: pixels are sorted for each class, which is slow on a CPU, and logits
#: that were upsampled say much the same next door.
_STRIDE = 2


def lovasz_softmax(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean over the classes that are there, 0 to 1 (arXiv 1705.08790, sections 2 and 3).

    N x C x H x W logits, N x H x W class indices -> float32 scalar. Pixels of truth IGNORE_INDEX
    do not count, nor does every second row and column. In several processes each takes the IoU of
    its own part of the batch.
    """
    truth = truth[:, ::_STRIDE, ::_STRIDE].flatten()
    shares = logits[:, :, ::_STRIDE, ::_STRIDE].float().softmax(1).transpose(0, 1).flatten(1)
    classes = torch.arange(len(shares), device=truth.device)[:, None]
    right = (classes == truth).float()
    # Ignored pixels are no error at all: they come after all that is one, and change no step of it.
    errors = (right - shares).abs() * (truth != IGNORE_INDEX)
    errors, order = errors.sort(dim=1, descending=True)
    hits = right.gather(1, order)
    pixels = hits.sum(1, keepdim=True)
    # Of each pixel, how much it takes from the IoU if it is wrong and so are all before it. Written
    # out: differences of neighbouring IoUs would be rounding alone in a large batch.
    left, union = pixels - hits.cumsum(1), pixels + (1 - hits).cumsum(1)
    steps = torch.where(hits > 0, 1 / union, left / (union * (union - 1).clamp(min=1)))
    present = (pixels[:, 0] > 0).float()
    return ((errors * steps).sum(1) * present).sum() / present.sum().clamp(min=1)
