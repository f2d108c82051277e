"""MobileNetV2 (Sandler et al., arXiv 1801.04381), dilated to stride 16, as VainF has it.

Published weights depend on two of its ways: the first convolution has no padding, and a block pads
its input with zeros, so that its depthwise convolution sees what the expansion makes of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.layers import conv_bn


@dataclass(frozen=True)
class _Row:
    """`blocks` of the same channels; the first one has the stride and the first dilation."""

    expansion: int
    channels: int
    blocks: int = 1
    stride: int = 1
    first_dilation: int = 1
    dilation: int = 1


_STEM_CHANNELS = 32
#: The paper's table 2 without its last convolution; the last stride is a dilation.
_LOW = (_Row(1, 16), _Row(6, 24, 2, stride=2))
_HIGH = (
    _Row(6, 32, 3, stride=2),
    _Row(6, 64, 4, stride=2),
    _Row(6, 96, 3),
    _Row(6, 160, 3, dilation=2),
    _Row(6, 320, first_dilation=2),
)


def _conv_bn_relu6(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    layers = conv_bn(in_channels, out_channels, kernel_size, stride, dilation, groups, padding=0)
    return layers.append(nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Zero padding -> 1 x 1 that expands -> depthwise 3 x 3 -> 1 x 1 without activation.

    Plus the input, unpadded, where the shape stays.
    """

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        width = expansion * in_channels
        self.pad = (dilation,) * 4
        self.adds = stride == 1 and in_channels == out_channels
        expand = [_conv_bn_relu6(in_channels, width)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            _conv_bn_relu6(width, width, 3, stride, dilation, groups=width),
            nn.Conv2d(width, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(F.pad(x, self.pad))
        return x + y if self.adds else y


def _blocks(in_channels: int, rows: tuple[_Row, ...]) -> list[InvertedResidual]:
    blocks = []
    for row in rows:
        for index in range(row.blocks):
            stride, dilation = (row.stride, row.first_dilation) if index == 0 else (1, row.dilation)
            blocks.append(
                InvertedResidual(in_channels, row.channels, row.expansion, stride, dilation)
            )
            in_channels = row.channels
    return blocks


class MobileNetV2(nn.Module):
    """N x 3 x H x W -> 24 channels at 1/4 and 320 at 1/16."""

    channels = (_LOW[-1].channels, _HIGH[-1].channels)

    def __init__(self) -> None:
        super().__init__()
        self.low_level_features = nn.Sequential(
            _conv_bn_relu6(3, _STEM_CHANNELS, 3, stride=2), *_blocks(_STEM_CHANNELS, _LOW)
        )
        # The published names count on from the first part's.
        self.high_level_features = nn.Sequential()
        for number, block in enumerate(
            _blocks(self.channels[0], _HIGH), len(self.low_level_features)
        ):
            self.high_level_features.add_module(str(number), block)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        low: Tensor = self.low_level_features(images)
        return low, self.high_level_features(low)


_LOW_COUNT = 1 + sum(row.blocks for row in _LOW)
_HIGH_COUNT = sum(row.blocks for row in _HIGH)
#: Which part has a numbered layer of the published backbone; the last one, 18, is left out.
_PARTS = {
    str(number): "low_level_features" if number < _LOW_COUNT else "high_level_features"
    for number in range(_LOW_COUNT + _HIGH_COUNT)
}


def rename_mobilenet(published: str) -> str | None:
    """The name in a network's `backbone` of a tensor in torchvision's ImageNet MobileNetV2."""
    whole, _, rest = published.partition(".")
    number = rest.partition(".")[0]
    if whole != "features" or number not in _PARTS:
        return None
    return f"backbone.{_PARTS[number]}.{rest}"
