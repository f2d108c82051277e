"""FCN (Long, Shelhamer and Darrell, arXiv 1411.4038) on a dilated ResNet-50, as torchvision's."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from regseg_core.model.contract import (
    IMAGENET,
    SegmentationNetwork,
    Term,
    check_images,
)
from regseg_core.model.layers import conv_bn_act, resize_like
from regseg_core.model.networks.resnet import STRIDE_8, ResNet50, rename_resnet


def conv_head(
    in_channels: int, channels: int, num_classes: int, dropout: nn.Module
) -> nn.Sequential:
    """3 x 3 -> BN -> ReLU -> dropout -> 1 x 1 to classes."""
    return nn.Sequential(
        *conv_bn_act(in_channels, channels, 3), dropout, nn.Conv2d(channels, num_classes, 1)
    )


def fcn_head(in_channels: int, num_classes: int) -> nn.Sequential:
    return conv_head(in_channels, in_channels // 4, num_classes, nn.Dropout(0.1))


class DilatedFcn(SegmentationNetwork):
    """A ResNet-50 of stride 8 and a head on its last map; in training an FCN head on its third.

    `head` takes the map's channels and the number of classes; its classifier is called 4.
    """

    min_size = 32
    normalization = IMAGENET
    classifier_names = (
        "classifier.4.weight",
        "classifier.4.bias",
        "aux_classifier.4.weight",
        "aux_classifier.4.bias",
    )
    training_heads = ("aux_classifier",)
    rename_backbone = staticmethod(rename_resnet)

    def __init__(
        self, num_classes: int, *, head: Callable[[int, int], nn.Module], auxiliary: float
    ) -> None:
        """`auxiliary` is the weight of the training head's loss."""
        super().__init__()
        self.num_classes = num_classes
        self.auxiliary = auxiliary
        self.backbone = ResNet50(STRIDE_8)
        self.classifier = head(self.backbone.channels[-1], num_classes)
        self.aux_classifier = fcn_head(self.backbone.channels[-2], num_classes)

    def forward_low(self, images: Tensor) -> Tensor:
        """Logits of 1/8 of the input's size, rounded up. Raises ValueError as the contract says."""
        check_images(images, self.min_size)
        logits: Tensor = self.classifier(self.backbone(images)[-1])
        return logits

    def forward_training(self, images: Tensor) -> list[Term]:
        check_images(images, self.min_size)
        *_, third, last = self.backbone(images)
        return [
            Term(resize_like(self.classifier(last), images)),
            Term(resize_like(self.aux_classifier(third), images), self.auxiliary),
        ]
