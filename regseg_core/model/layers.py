"""Layers that several networks are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvBnAct(nn.Module):
    """k x k convolution (no bias, same padding) -> batch normalisation -> ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    padding: int | None = None,
) -> nn.Sequential:
    """k x k convolution (no bias; where no padding is given the same) -> batch normalisation."""
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        dilation * (kernel_size // 2) if padding is None else padding,
        dilation,
        groups,
        bias=False,
    )
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def conv_bn_act(
    in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """What ConvBnAct is, with numbers for names, and dilated."""
    layers = conv_bn(in_channels, out_channels, kernel_size, stride, dilation)
    return layers.append(nn.ReLU(inplace=True))


def resize_like(x: Tensor, other: Tensor, align_corners: bool = False) -> Tensor:
    """Bilinear: N x C x h x w -> N x C x H x W of the other map."""
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=align_corners)


def nearest_like(x: Tensor, other: Tensor) -> Tensor:
    """Nearest pixel: N x C x h x w -> N x C x H x W of the other map."""
    return F.interpolate(x, size=other.shape[-2:], mode="nearest")


class MeanBins(nn.Module):
    """Means over bins x bins windows that cover the map: N x C x H x W -> N x C x bins x bins.

    Equal to adaptive average pooling, which exporters only know where the bins divide the map.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (_means(size, self.bins, x) for size in x.shape[-2:])
        return rows @ x @ columns.T


def _means(size: int, bins: int, like: Tensor) -> Tensor:
    """bins x size: each row the mean over its window; made where the map is."""
    place = torch.arange(size, device=like.device)
    row = torch.arange(bins, device=like.device)[:, None]
    first, end = row * size // bins, ((row + 1) * size + bins - 1) // bins
    return ((place >= first) & (place < end)).to(like.dtype) / (end - first).to(like.dtype)
