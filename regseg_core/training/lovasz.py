"""Lovasz-softmax: one minus the mean IoU, extended to classes that are taken by halves."""

from __future__ import annotations

import torch
from torch import Tensor

from regseg_core.labels import IGNORE_INDEX

#: Every second pixel each way: to sort all of them takes longer than the network's own step, and
#: logits that were upsampled say much the same next door.
_STRIDE = 2


def lovasz_softmax(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean over the classes that a batch has, 0 to 1 (arXiv 1705.08790, sections 2 and 3).

    N x C x H x W logits, N x H x W class indices -> float32 scalar. Pixels of truth IGNORE_INDEX
    do not count. In several processes each takes the IoU of its own part of the batch.
    """
    truth = truth[:, ::_STRIDE, ::_STRIDE].flatten().long()
    shares = logits[:, :, ::_STRIDE, ::_STRIDE].float().softmax(1).transpose(0, 1).flatten(1)
    classes = torch.arange(len(shares), device=truth.device)[:, None]
    right = (classes == truth).float()
    # Ignored pixels are no error at all: they come last, where they change nobody's step.
    errors = (right - shares).abs() * (truth != IGNORE_INDEX)
    errors, order = errors.sort(dim=1, descending=True)
    hits = right.gather(1, order)
    pixels = hits.sum(1, keepdim=True)
    # One minus the IoU if the worst 1, 2, 3 ... pixels were wrong and all others right.
    losses = 1 - (pixels - hits.cumsum(1)) / (pixels + (1 - hits).cumsum(1))
    steps = torch.diff(losses, dim=1, prepend=losses.new_zeros(len(losses), 1))
    present = (pixels[:, 0] > 0).float()
    return ((errors * steps).sum(1) * present).sum() / present.sum().clamp(min=1)
