"""DeepLabv3's head (Chen et al., arXiv 1706.05587, section 3.3): context at several dilations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regseg_core.model.layers import conv_bn_act

Rates = tuple[int, int, int]

_CHANNELS = 256


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling: N x C x H x W -> N x 256 x H x W.

    A 1 x 1 and three dilated 3 x 3 convolutions and the mean of the map, put together by a 1 x 1.
    The mean's normalisation sees one value a channel and image: training needs a batch above 1.
    """

    def __init__(self, in_channels: int, rates: Rates, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            (
                conv_bn_act(in_channels, _CHANNELS),
                *(conv_bn_act(in_channels, _CHANNELS, 3, dilation=rate) for rate in rates),
                nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_bn_act(in_channels, _CHANNELS)),
            )
        )
        self.project = nn.Sequential(
            *conv_bn_act(len(self.convs) * _CHANNELS, _CHANNELS), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        *local, mean = (conv(x) for conv in self.convs)
        mean = mean.expand(-1, -1, *x.shape[-2:])
        y: Tensor = self.project(torch.cat((*local, mean), dim=1))
        return y


def deeplabv3_head(in_channels: int, num_classes: int) -> nn.Sequential:
    """As torchvision's, for maps at 1/8."""
    return nn.Sequential(
        Aspp(in_channels, rates=(12, 24, 36), dropout=0.5),
        *conv_bn_act(_CHANNELS, _CHANNELS, 3),
        nn.Conv2d(_CHANNELS, num_classes, 1),
    )
