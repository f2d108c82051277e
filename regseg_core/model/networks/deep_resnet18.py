"""ResNet-18 with a deep stem and dilated blocks, as SFNet has it.

Three 3 x 3 convolutions take the place of the first 7 x 7; the second one of each block is dilated.
Attribute names are those of SFNet's published checkpoints.
"""

from __future__ import annotations

from torch import nn

from regseg_core.model.networks.residual import BasicBlock


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
        BasicBlock(in_channels, out_channels, stride, dilation, rectified=True),
        BasicBlock(out_channels, out_channels, 1, dilation, rectified=True),
    )
