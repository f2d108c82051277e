"""DeepLabv3+ (Chen et al., arXiv 1802.02611), as VainF's DeepLabV3Plus-Pytorch has it.

The paper refines with two separable 3 x 3 convolutions; here it is one plain one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from regseg_core.model.contract import IMAGENET, SegmentationNetwork, check_images
from regseg_core.model.layers import conv_bn_act, resize_like
from regseg_core.model.networks.deeplabv3 import Aspp, Rates
from regseg_core.model.networks.mobilenetv2 import MobileNetV2, rename_mobilenet
from regseg_core.model.networks.resnet import ResNet50, rename_resnet

_LOW_CHANNELS = 48
_CHANNELS = 256
_BACKBONE_MOMENTUM = 0.01


class Decoder(nn.Module):
    """A backbone's maps -> logits of the first one's size."""

    def __init__(self, channels: tuple[int, ...], rates: Rates, num_classes: int) -> None:
        super().__init__()
        self.project = conv_bn_act(channels[0], _LOW_CHANNELS)
        self.aspp = Aspp(channels[-1], rates, dropout=0.1)
        self.classifier = nn.Sequential(
            *conv_bn_act(_LOW_CHANNELS + _CHANNELS, _CHANNELS, 3),
            nn.Conv2d(_CHANNELS, num_classes, 1),
        )

    def forward(self, first: Tensor, last: Tensor) -> Tensor:
        low = self.project(first)
        high = resize_like(self.aspp(last), low)
        logits: Tensor = self.classifier(torch.cat((low, high), dim=1))
        return logits


class DeepLabV3Plus(SegmentationNetwork):
    """`rates` are the pyramid's dilations: 6, 12, 18 at stride 16, and twice that at stride 8."""

    min_size = 32
    normalization = IMAGENET
    classifier_names = ("classifier.classifier.3.weight", "classifier.classifier.3.bias")

    def __init__(
        self, num_classes: int, *, backbone: Callable[[], ResNet50 | MobileNetV2], rates: Rates
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = backbone()
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = _BACKBONE_MOMENTUM
        self.classifier = Decoder(self.backbone.channels, rates, num_classes)

    def forward_low(self, images: Tensor) -> Tensor:
        """Logits of 1/4 of the input's size, rounded up; with MobileNetV2 of the size less 2.

        Raises ValueError as the contract says.
        """
        check_images(images, self.min_size)
        first, *_, last = self.backbone(images)
        logits: Tensor = self.classifier(first, last)
        return logits

    @staticmethod
    def rename_backbone(published: str) -> str | None:
        # No name is in both backbones' files.
        return rename_resnet(published) or rename_mobilenet(published)
