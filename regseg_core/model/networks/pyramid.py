"""Pyramid pooling of DDRNet and PIDNet, and their head: layers that normalise before they convolve.

`fold_norms` leaves such a normalisation, as a ReLU stands between it and its convolution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.layers import resize_like

#: Kernel and stride of the average pools; a kernel is as far padded as it reaches, with zeros that
#: count. The fourth scale is the mean of the whole map.
_POOLS = ((5, 2), (9, 4), (17, 8))


def bn_act_conv(
    in_channels: int, out_channels: int, kernel_size: int = 1, groups: int = 1
) -> nn.Sequential:
    """Batch normalisation -> ReLU -> k x k convolution (no bias, same padding)."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(
            in_channels, out_channels, kernel_size, 1, kernel_size // 2, groups=groups, bias=False
        ),
    )


class PyramidPooling(nn.Module, ABC):
    """N x C x H x W -> N x out_channels x H x W: what a map says at five scales."""

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        pools = [nn.AvgPool2d(kernel, stride, kernel // 2) for kernel, stride in _POOLS]
        self.scale0 = bn_act_conv(in_channels, width)
        for index, pool in enumerate([*pools, nn.AdaptiveAvgPool2d(1)], start=1):
            branch = nn.Sequential(pool, *bn_act_conv(in_channels, width))
            self.add_module(f"scale{index}", branch)
        self.compression = bn_act_conv(5 * width, out_channels)
        self.shortcut = bn_act_conv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        finest = self.scale0(x)
        pooled = [self.get_submodule(f"scale{index}")(x) for index in range(1, 5)]
        others = self.merge(finest, [resize_like(y, finest) for y in pooled])
        y: Tensor = self.compression(torch.cat((finest, *others), dim=1)) + self.shortcut(x)
        return y

    @abstractmethod
    def merge(self, finest: Tensor, pooled: Sequence[Tensor]) -> Sequence[Tensor]:
        """Mixes each scale, resized to the finest, with the finer ones; the finest stays."""


class Dappm(PyramidPooling):
    """Deep aggregation pyramid pooling (arXiv 2101.06085): scale after scale."""

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__(in_channels, width, out_channels)
        for index in range(1, 5):
            self.add_module(f"process{index}", bn_act_conv(width, width, 3))

    def merge(self, finest: Tensor, pooled: Sequence[Tensor]) -> Sequence[Tensor]:
        mixed = [finest]
        for index, y in enumerate(pooled, start=1):
            mixed.append(self.get_submodule(f"process{index}")(y + mixed[-1]))
        return mixed[1:]


class Pappm(PyramidPooling):
    """Parallel aggregation pyramid pooling (arXiv 2206.02066): all scales at once."""

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__(in_channels, width, out_channels)
        self.scale_process = bn_act_conv(4 * width, 4 * width, 3, groups=4)

    def merge(self, finest: Tensor, pooled: Sequence[Tensor]) -> Sequence[Tensor]:
        return [self.scale_process(torch.cat([y + finest for y in pooled], dim=1))]


class BnFirstHead(nn.Module):
    """BN -> ReLU -> 3x3 -> BN -> ReLU -> 1x1 with a bias: N x C x h x w -> N x outputs x h x w."""

    def __init__(self, in_channels: int, width: int, outputs: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(F.relu(self.bn1(x), inplace=True))
        logits: Tensor = self.conv2(F.relu(self.bn2(x), inplace=True))
        return logits
