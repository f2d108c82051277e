"""PSPNet (Zhao et al., arXiv 1612.01105) on a dilated ResNet-50, as the authors' semseg has it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regseg_core.model.contract import (
    IMAGENET,
    SegmentationNetwork,
    Term,
    check_images,
)
from regseg_core.model.layers import MeanBins, conv_bn_act, resize_like
from regseg_core.model.networks.fcn import conv_head
from regseg_core.model.networks.resnet import STRIDE_8_ALIKE, resnet_stage

_BINS = (1, 2, 3, 6)
_STEM_CHANNELS = 128

#: Where the stem's layers in semseg's ImageNet weights are here.
_STEM = {
    "conv1": "layer0.0",
    "bn1": "layer0.1",
    "conv2": "layer0.3",
    "bn2": "layer0.4",
    "conv3": "layer0.6",
    "bn3": "layer0.7",
}


class PyramidPooling(nn.Module):
    """The map itself, then its means over 1, 2, 3 and 6 bins a side: N x 2C x H x W (section 3.2).

    The means have C / 4 channels each.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // len(_BINS)
        self.features = nn.ModuleList(
            nn.Sequential(MeanBins(bins), *conv_bn_act(channels, width)) for bins in _BINS
        )

    def forward(self, x: Tensor) -> Tensor:
        means = (resize_like(level(x), x, align_corners=True) for level in self.features)
        return torch.cat((x, *means), dim=1)


class PspNet50(SegmentationNetwork):
    """Pyramid pooling on a ResNet-50 of stride 8; in training an FCN head on its third stage."""

    min_size = 32
    normalization = IMAGENET
    classifier_names = ("cls.4.weight", "cls.4.bias", "aux.4.weight", "aux.4.bias")
    training_heads = ("aux",)

    def __init__(self, num_classes: int, *, auxiliary: float) -> None:
        """`auxiliary` is the weight of the training head's loss."""
        super().__init__()
        self.num_classes = num_classes
        self.auxiliary = auxiliary
        first, second, third, last = STRIDE_8_ALIKE
        self.layer0 = nn.Sequential(
            *conv_bn_act(3, 64, 3, stride=2),
            *conv_bn_act(64, 64, 3),
            *conv_bn_act(64, _STEM_CHANNELS, 3),
            nn.MaxPool2d(3, 2, 1),
        )
        self.layer1 = resnet_stage(_STEM_CHANNELS, first)
        self.layer2 = resnet_stage(first.channels, second)
        self.layer3 = resnet_stage(second.channels, third)
        self.layer4 = resnet_stage(third.channels, last)
        self.ppm = PyramidPooling(last.channels)
        self.cls = conv_head(2 * last.channels, 512, num_classes, nn.Dropout2d(0.1))
        self.aux = conv_head(third.channels, 256, num_classes, nn.Dropout2d(0.1))

    def forward_low(self, images: Tensor) -> Tensor:
        """Logits of 1/8 of the input's size, rounded up. Raises ValueError as the contract says."""
        return self._logits(self._third_stage(images))

    def forward_training(self, images: Tensor) -> list[Term]:
        third = self._third_stage(images)
        return [
            Term(resize_like(self._logits(third), images)),
            Term(resize_like(self.aux(third), images), self.auxiliary),
        ]

    def _third_stage(self, images: Tensor) -> Tensor:
        check_images(images, self.min_size)
        x: Tensor = self.layer3(self.layer2(self.layer1(self.layer0(images))))
        return x

    def _logits(self, third: Tensor) -> Tensor:
        logits: Tensor = self.cls(self.ppm(self.layer4(third)))
        return logits

    @staticmethod
    def rename_backbone(published: str) -> str | None:
        layer, _, rest = published.partition(".")
        if layer in _STEM:
            return f"{_STEM[layer]}.{rest}"
        return published if layer.startswith("layer") else None
