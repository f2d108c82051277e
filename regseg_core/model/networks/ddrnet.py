"""DDRNet (Hong et al., arXiv 2101.06085): two branches that tell one another what they found."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from regseg_core.model.contract import IMAGENET, SegmentationNetwork, Term, check_images
from regseg_core.model.layers import conv_bn, conv_bn_act, resize_like
from regseg_core.model.networks.pyramid import BnFirstHead, Dappm
from regseg_core.model.networks.residual import basic_stage, bottleneck_stage, stem

_PYRAMID_WIDTH = 128


class DdrNet(SegmentationNetwork):
    """DDRNet-23: images -> logits at 1/8 of their size, rounded up.

    `channels` is the width at 1/4, `head` that of the head; `auxiliary` the weight of the loss on
    the high branch. Modules of the high branch, which stays at 1/8, end in `_`.
    """

    min_size = 32
    normalization = IMAGENET
    classifier_names = (
        "final_layer.conv2.weight",
        "final_layer.conv2.bias",
        "seghead_extra.conv2.weight",
        "seghead_extra.conv2.bias",
    )
    training_heads = ("seghead_extra",)

    def __init__(self, num_classes: int, channels: int, head: int, auxiliary: float) -> None:
        super().__init__()
        self.num_classes, self.auxiliary = num_classes, auxiliary
        c = channels
        self.conv1 = stem(c)
        self.layer1 = basic_stage(c, c, 2)
        self.layer2 = basic_stage(c, 2 * c, 2, stride=2)
        self.layer3 = basic_stage(2 * c, 4 * c, 2, stride=2)
        self.layer4 = basic_stage(4 * c, 8 * c, 2, stride=2)
        self.layer5 = bottleneck_stage(8 * c, 8 * c, 1, stride=2)
        self.layer3_ = basic_stage(2 * c, 2 * c, 2)
        self.layer4_ = basic_stage(2 * c, 2 * c, 2)
        self.layer5_ = bottleneck_stage(2 * c, 2 * c, 1)
        self.compression3 = conv_bn(4 * c, 2 * c)
        self.compression4 = conv_bn(8 * c, 2 * c)
        self.down3 = conv_bn(2 * c, 4 * c, 3, stride=2)
        self.down4 = conv_bn_act(2 * c, 4 * c, 3, stride=2)
        self.down4.extend(conv_bn(4 * c, 8 * c, 3, stride=2))
        self.spp = Dappm(16 * c, _PYRAMID_WIDTH, 4 * c)
        self.final_layer = BnFirstHead(4 * c, head, num_classes)
        self.seghead_extra = BnFirstHead(2 * c, head, num_classes)

    def forward_low(self, images: Tensor) -> Tensor:
        """Logits of 1/8 of the input's size, rounded up. Raises ValueError as the contract says."""
        return self._forward(images)[0]

    def forward_training(self, images: Tensor) -> Sequence[Term]:
        logits, high = self._forward(images)
        return [
            Term(resize_like(logits, images)),
            Term(resize_like(self.seghead_extra(high), images), self.auxiliary),
        ]

    def _forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the high branch after the first exchange."""
        check_images(images, self.min_size)
        x = F.relu(self.layer1(self.conv1(images)), inplace=True)
        x = F.relu(self.layer2(x), inplace=True)

        low, high = self.layer3(x), self.layer3_(x)
        news = self.compression3(F.relu(low))
        low = low + self.down3(F.relu(high))
        first = high = high + resize_like(news, high)

        low, high = self.layer4(F.relu(low)), self.layer4_(F.relu(high))
        news = self.compression4(F.relu(low))
        low = low + self.down4(F.relu(high))
        high = high + resize_like(news, high)

        high = self.layer5_(F.relu(high))
        context = self.spp(self.layer5(F.relu(low)))
        return self.final_layer(high + resize_like(context, high)), first

    @staticmethod
    def rename_backbone(published: str) -> str | None:
        """The ImageNet network ends in layers of its own, and has neither pyramid nor heads."""
        part = published.partition(".")[0]
        shared = part == "conv1" or part.startswith(("layer", "compression"))
        return published if shared or part in ("down3", "down4") else None
