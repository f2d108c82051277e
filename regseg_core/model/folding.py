"""Batch normalisation folded into the convolutions before it, for inference."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from regseg_core.model.regseg.blocks import DilatedConv


def fold_norms(network: nn.Module) -> None:
    """Folds each BatchNorm2d that stands right after its convolution into it, in place.

    For a float32 network in evaluation mode: in half precision the folded weights would be rounded
    twice. What it computes stays the same up to rounding.
    """
    for parent in list(network.modules()):
        for (_, conv), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Sequential) and len(conv):
                conv = conv[-1]
            if isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d | DilatedConv):
                _fold(conv, norm)
                setattr(parent, name, nn.Identity())


@torch.no_grad()
def _fold(conv: nn.Conv2d | DilatedConv, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    parts = list(conv.convs) if isinstance(conv, DilatedConv) else [conv]
    for part, its_scale in zip(parts, scale.chunk(len(parts)), strict=True):
        assert isinstance(part, nn.Conv2d)
        part.weight.copy_(part.weight.double() * its_scale[:, None, None, None])
    bias = shift if conv.bias is None else shift + conv.bias.double() * scale
    conv.bias = nn.Parameter(bias.to(norm.weight.dtype))
