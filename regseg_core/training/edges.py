"""Losses of heads that find edges: between classes, and of fine detail."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from regseg_core.labels import IGNORE_INDEX

#: Weights by which STDC fuses the details of three strides, and the least strength of an edge.
_FUSED, _STRENGTH = (0.6, 0.3, 0.1), 0.1

#: PIDNet: the width in pixels of its boundaries, and of the rim where none begins.
_WIDTH, _RIM = 4, 6


def detail_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """STDC's (arXiv 2104.13188, section 3.3): binary cross-entropy and dice against `details`.

    N x 1 x H x W logits, N x H x W truth -> scalar.
    """
    wanted = details(truth)
    given = logits[:, 0].float()
    cross = F.binary_cross_entropy_with_logits(given, wanted)
    found = torch.sigmoid(given).flatten(1)
    both = (found * wanted.flatten(1)).sum(1)
    dice = 1 - (2 * both + 1) / (found.sum(1) + wanted.flatten(1).sum(1) + 1)
    return cross + dice.mean()


def boundary_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """PIDNet's (arXiv 2206.02066): binary cross-entropy against `boundaries`.

    Pixels on and off boundaries have the weight of the other's share. N x 1 x H x W logits,
    N x H x W truth -> scalar.
    """
    wanted = boundaries(truth)
    on = wanted.mean()
    weight = torch.where(wanted > 0, 1 - on, on)
    return F.binary_cross_entropy_with_logits(logits[:, 0].float(), wanted, weight)


def details(truth: Tensor) -> Tensor:
    """Where the Laplacian of the label map is strong at strides 1, 2 and 4, fused.

    N x H x W class indices -> N x H x W float32 of 0 and 1.
    """
    labels = truth.float()[:, None]
    kernel = labels.new_full((1, 1, 3, 3), -1.0)
    kernel[0, 0, 1, 1] = 8.0
    fused = torch.zeros_like(labels)
    for stride, share in zip((1, 2, 4), _FUSED, strict=True):
        edges = F.conv2d(labels, kernel, stride=stride, padding=1).clamp(min=0)
        strong = (edges > _STRENGTH).float()
        fused += share * F.interpolate(strong, size=labels.shape[-2:], mode="nearest")
    return (fused > _STRENGTH).float()[:, 0]


def boundaries(truth: Tensor) -> Tensor:
    """Lines between classes, `_WIDTH` pixels wide, half of them on either side.

    No line begins within `_RIM` pixels of the map's border, or beside a pixel without a class: a
    crop's padding has none. The published code asks Canny of OpenCV, which cannot run where the
    labels are. On a label map both find nearly the same lines, on the pixel before a change and not
    the one after it. N x H x W class indices -> N x H x W float32 of 0 and 1.
    """
    lines = torch.zeros(truth.shape, device=truth.device)
    known = truth != IGNORE_INDEX
    lines[:, :-1] += (truth[:, 1:] != truth[:, :-1]) & known[:, 1:] & known[:, :-1]
    lines[:, :, :-1] += (truth[:, :, 1:] != truth[:, :, :-1]) & known[:, :, 1:] & known[:, :, :-1]
    inside = torch.zeros_like(lines)
    inside[:, _RIM:-_RIM, _RIM:-_RIM] = 1
    padded = F.pad((lines * inside)[:, None], (_WIDTH // 2, _WIDTH // 2 - 1) * 2)
    return (F.max_pool2d(padded, _WIDTH, stride=1) > 0).float()[:, 0]


#: By their names in `Term`: logits of one channel and truth -> scalar.
EDGE_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "detail": detail_loss,
    "boundary": boundary_loss,
}
