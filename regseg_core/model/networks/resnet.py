"""ResNet-50 (He et al., arXiv 1512.03385), dilated as segmentation networks have it.

Strides of the last stages turn into dilations (Yu, Koltun and Funkhouser, arXiv 1705.09914). Who
publishes weights differs in the dilation of such a stage's first block, and the weights depend on
it: hence the tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.networks.residual import shortcut

_EXPANSION = 4


@dataclass(frozen=True)
class StageSpec:
    """`blocks` bottlenecks that give 4 x `width` channels; the first one has the stride."""

    width: int
    blocks: int
    stride: int = 1
    first_dilation: int = 1
    dilation: int = 1

    @property
    def channels(self) -> int:
        return _EXPANSION * self.width


StageSpecs = tuple[StageSpec, StageSpec, StageSpec, StageSpec]

_TO_8 = (StageSpec(64, 3), StageSpec(128, 4, stride=2))

#: torchvision's, VainF's: where a stage is dilated, its first block has the dilation before it.
STRIDE_16: StageSpecs = (*_TO_8, StageSpec(256, 6, stride=2), StageSpec(512, 3, dilation=2))
STRIDE_8: StageSpecs = (
    *_TO_8,
    StageSpec(256, 6, dilation=2),
    StageSpec(512, 3, first_dilation=2, dilation=4),
)
#: semseg's: every block of a stage alike.
STRIDE_8_ALIKE: StageSpecs = (
    *_TO_8,
    StageSpec(256, 6, first_dilation=2, dilation=2),
    StageSpec(512, 3, first_dilation=4, dilation=4),
)


class Bottleneck(nn.Module):
    """1 x 1 -> 3 x 3, with the stride and the dilation -> 1 x 1, plus the shortcut, then ReLU."""

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        channels = _EXPANSION * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x), inplace=True)


def resnet_stage(in_channels: int, spec: StageSpec) -> nn.Sequential:
    return nn.Sequential(
        Bottleneck(in_channels, spec.width, spec.stride, spec.first_dilation),
        *(Bottleneck(spec.channels, spec.width, 1, spec.dilation) for _ in range(spec.blocks - 1)),
    )


class ResNet50(nn.Module):
    """N x 3 x H x W -> the maps of its four stages, the first one at 1/4."""

    def __init__(self, stages: StageSpecs) -> None:
        super().__init__()
        self.channels = tuple(spec.channels for spec in stages)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = resnet_stage(64, stages[0])
        self.layer2 = resnet_stage(self.channels[0], stages[1])
        self.layer3 = resnet_stage(self.channels[1], stages[2])
        self.layer4 = resnet_stage(self.channels[2], stages[3])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True))
        first: Tensor = self.layer1(x)
        second: Tensor = self.layer2(first)
        third: Tensor = self.layer3(second)
        return first, second, third, self.layer4(third)


def rename_resnet(published: str) -> str | None:
    """The name in a network's `backbone` of a tensor in torchvision's ImageNet ResNet."""
    return f"backbone.{published}" if published.startswith(("conv1.", "bn1.", "layer")) else None
