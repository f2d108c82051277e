"""ResNet-18 with a deep stem and dilated blocks, as SFNet has it.

Basic blocks are of He et al. (arXiv 1512.03385, section 4.1); three 3 x 3 convolutions take the
place of the first 7 x 7. Attribute names are those of SFNet's published checkpoints.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, the second dilated, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(
            out_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(y)) + shortcut, inplace=True)


def deep_stem() -> nn.Sequential:
    """Images -> 128 channels at 1/4, rounded up."""
    return nn.Sequential(
        nn.Sequential(
            nn.Conv2d(3, 64, 3, 2, 1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 128, 3, padding=1, bias=False),
        ),
        nn.BatchNorm2d(128),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    )


def basic_stage(in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Sequential:
    """Two basic blocks; the first has the stride."""
    return nn.Sequential(
        BasicBlock(in_channels, out_channels, stride, dilation),
        BasicBlock(out_channels, out_channels, 1, dilation),
    )
