"""Residual blocks (He et al., arXiv 1512.03385), and the stages of DDRNet and PIDNet.

Such a stage ends without ReLU: its readers differ in whether they want one.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.layers import conv_bn


class BasicBlock(nn.Module):
    """3x3 -> BN -> ReLU -> dilated 3x3 -> BN, plus the shortcut; then ReLU if `rectified`."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        dilation: int = 1,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        self.rectified = rectified
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y)) + self.downsample(x)
        return F.relu(y, inplace=True) if self.rectified else y


class Bottleneck(nn.Module):
    """1x1 -> BN -> ReLU -> 3x3 -> BN -> ReLU -> 1x1 to twice the width -> BN, plus the shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(2 * width)
        self.downsample = shortcut(in_channels, 2 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        total: Tensor = y + self.downsample(x)
        return total


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """What brings a block's input to its output's shape, a 1x1 -> BN where that differs."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return conv_bn(in_channels, out_channels, stride=stride)


def stem(channels: int) -> nn.Sequential:
    """Images -> 1/4: two 3x3 of stride 2, each with a bias, normalised and rectified."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise((3, channels, channels)):
        layers += [
            nn.Conv2d(width_in, width_out, 3, 2, 1),
            nn.BatchNorm2d(width_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def basic_stage(in_channels: int, channels: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """Basic blocks, the first with the stride."""
    first = BasicBlock(in_channels, channels, stride, rectified=blocks > 1)
    others = (
        BasicBlock(channels, channels, rectified=index < blocks) for index in range(2, blocks + 1)
    )
    return nn.Sequential(first, *others)


def bottleneck_stage(in_channels: int, width: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """Bottlenecks to 2 * width channels, the first with the stride; no ReLU between them."""
    others = (Bottleneck(2 * width, width) for _ in range(1, blocks))
    return nn.Sequential(Bottleneck(in_channels, width, stride), *others)
