"""The blocks that RegSeg is made of (Gao, arXiv 2111.09957, section 3).

Attribute names are those of the published checkpoints, so their parameters load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from all channels' spatial means."""

    def __init__(self, channels: int, squeeze_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, squeeze_channels, 1)
        self.conv2 = nn.Conv2d(squeeze_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.conv2(F.relu(self.conv1(gate))))


class DilatedConv(nn.Module):
    """3 x 3 grouped convolutions with different dilations, each on its share of the channels."""

    def __init__(
        self, channels: int, dilations: Sequence[int], group_width: int, stride: int
    ) -> None:
        super().__init__()
        if channels % (len(dilations) * group_width):
            raise ValueError(
                f"{channels} channels do not split into {len(dilations)} branches"
                f" of whole groups of {group_width}"
            )
        width = channels // len(dilations)
        self.convs = nn.ModuleList(
            grouped_conv(width, dilation, group_width, stride) for dilation in dilations
        )

        # Of a folded normalisation. One for all branches, after their concatenation: OpenVINO
        # 2026.4 gets a branch's own wrong in bfloat16 where the dilation exceeds the map.
        self.bias: nn.Parameter | None
        self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        parts = x.chunk(len(self.convs), dim=1)
        y = torch.cat([conv(part) for conv, part in zip(self.convs, parts, strict=True)], dim=1)
        return y if self.bias is None else y + self.bias[:, None, None]


def grouped_conv(channels: int, dilation: int, group_width: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        channels,
        3,
        stride,
        padding=dilation,
        dilation=dilation,
        groups=channels // group_width,
        bias=False,
    )


class Shortcut(nn.Module):
    """Brings a block's input to its output's shape: (2 x 2 mean where pooled) -> 1x1 -> BN."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled and stride == 2
        conv_stride = 1 if self.pooled else stride
        self.conv = nn.Conv2d(in_channels, out_channels, 1, conv_stride, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(mean_pool_2x2(x) if self.pooled else x))
        return y


def mean_pool_2x2(x: Tensor) -> Tensor:
    """2 x 2 mean, stride 2, sizes rounded up: N x C x H x W -> N x C x ceil(H/2) x ceil(W/2).

    Equal to ceil-mode pooling, which TensorRT has no converter for: that divides a window at an odd
    border by the pixels inside it, and repeating the last row or column gives the same mean.
    """
    if x.shape[2] % 2:
        x = torch.cat((x, x[:, :, -1:]), dim=2)
    if x.shape[3] % 2:
        x = torch.cat((x, x[:, :, :, -1:]), dim=3)
    return F.avg_pool2d(x, 2, 2)


class DBlock(nn.Module):
    """The paper's D block; with one dilation and `pooled_shortcut=False`, RegNet's Y block.

    1x1 -> BN -> ReLU -> dilated 3x3 -> BN -> ReLU -> SE -> 1x1 -> BN, plus the shortcut, then ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dilations: Sequence[int],
        group_width: int,
        stride: int,
        pooled_shortcut: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2: nn.Module = (
            grouped_conv(out_channels, dilations[0], group_width, stride)
            if len(dilations) == 1
            else DilatedConv(out_channels, dilations, group_width, stride)
        )
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv3 = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        # The squeeze width comes from the block's input, as in RegNet.
        self.se = SqueezeExcitation(out_channels, in_channels // 4)
        self.shortcut: nn.Module = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else Shortcut(in_channels, out_channels, stride, pooled_shortcut)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(self.se(y)))
        return F.relu(y + self.shortcut(x), inplace=True)
