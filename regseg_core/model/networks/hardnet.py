"""FC-HarDNet: a harmonic DenseNet as an encoder and a decoder (Chao et al., arXiv 1909.00948).

Section 3 of the paper has the links and widths of a block. Attribute names are those of the
published checkpoints.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.contract import IMAGENET, SegmentationNetwork, check_images
from regseg_core.model.layers import resize_like

#: Output channels and strides of the four 3 x 3 convolutions before the first block.
_STEM = ((16, 2), (24, 1), (32, 2), (48, 1))

#: Of the blocks at 1/4 to 1/64: growth, layers, and channels of the 1 x 1 convolution after it.
_LEVELS = ((10, 4, 64), (16, 4, 96), (18, 8, 160), (24, 8, 224), (32, 8, 320))

_WIDENING = 1.7


class ConvNormAct(nn.Module):
    """k x k convolution (no bias, same padding) -> batch normalisation -> ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)), inplace=True)


class HarDBlock(nn.Module):
    """3 x 3 layers that read each other's outputs at distances of powers of two.

    N x in_channels x H x W -> N x out_channels x H x W: its odd layers, then its last.
    """

    def __init__(self, in_channels: int, growth: int, depth: int) -> None:
        super().__init__()
        self.links = [_links(number) for number in range(1, depth + 1)]
        widths = [in_channels, *(_width(growth, len(links)) for links in self.links)]
        self.layers = nn.ModuleList(
            ConvNormAct(sum(widths[link] for link in links), width, 3)
            for links, width in zip(self.links, widths[1:], strict=True)
        )
        self.out_channels = sum(widths[1:-1:2]) + widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for links, layer in zip(self.links, self.layers, strict=True):
            maps.append(layer(torch.cat([maps[link] for link in links], dim=1)))
        return torch.cat([*maps[1:-1:2], maps[-1]], dim=1)


def _links(number: int) -> tuple[int, ...]:
    """What layer `number` (from 1) reads, nearest first; 0 is the block's input."""
    steps = (1 << power for power in range(number.bit_length()))
    return tuple(number - step for step in steps if number % step == 0)


def _width(growth: int, links: int) -> int:
    """Channels of a layer: wider by 1.7 for each link but the nearest, and even."""
    return int(growth * _WIDENING ** (links - 1) + 1) // 2 * 2


class FcHarDNet(SegmentationNetwork):
    """FC-HarDNet-70: images -> logits at 1/4, rounded up.

    It was trained on B, G, R. There is no head that only training uses.
    """

    #: Below it the map at 1/64 would have no pixel: the four pools after 1/4 round down.
    min_size = 61
    normalization = replace(IMAGENET, order="bgr")
    classifier_names = ("finalConv.weight", "finalConv.bias")

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.base = nn.ModuleList()
        channels = 3
        skips: list[int] = []
        for width, stride in _STEM:
            self.base.append(ConvNormAct(channels, width, 3, stride))
            channels = width
        for growth, depth, width in _LEVELS:
            if skips:
                self.base.append(nn.AvgPool2d(2, 2))
            block = HarDBlock(channels, growth, depth)
            self.base.extend((block, ConvNormAct(block.out_channels, width, 1)))
            skips.append(block.out_channels)
            channels = width
        self.conv1x1_up = nn.ModuleList()
        self.denseBlocksUp = nn.ModuleList()
        for (growth, depth, _), skip in reversed(list(zip(_LEVELS, skips, strict=True))[:-1]):
            merged = channels + skip
            self.conv1x1_up.append(ConvNormAct(merged, merged // 2, 1))
            block = HarDBlock(merged // 2, growth, depth)
            self.denseBlocksUp.append(block)
            channels = block.out_channels
        self.finalConv = nn.Conv2d(channels, num_classes, 1)

    def forward_low(self, images: Tensor) -> Tensor:
        """Logits of 1/4 of the input's size, rounded up. Raises ValueError as the contract says."""
        check_images(images, self.min_size)
        x = images
        skips = []
        for module in self.base:
            x = module(x)
            if isinstance(module, HarDBlock):
                skips.append(x)
        ups = zip(reversed(skips[:-1]), self.conv1x1_up, self.denseBlocksUp, strict=True)
        for skip, merge, block in ups:
            x = resize_like(x, skip, align_corners=True)
            x = block(merge(torch.cat((x, skip), dim=1)))
        logits: Tensor = self.finalConv(x)
        return logits

    @staticmethod
    def rename_backbone(published: str) -> str | None:
        """HarDNet-Petite's file, which has the encoder's names without `base`."""
        name = published.removeprefix("base.")
        return f"base.{name}" if name[:1].isdigit() else None
