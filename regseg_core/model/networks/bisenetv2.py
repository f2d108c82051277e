"""BiSeNetV2: a shallow branch for detail and a deep one for meaning (Yu et al., arXiv 2004.02147).

Names are those of CoinCheung's weights, which are not the authors'. They are for a network that
has more than the paper's: a ReLU after depthwise layers and after the aggregation's last
convolution, a norm and a ReLU after the context embedding's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.contract import Normalization, SegmentationNetwork, Term, check_images
from regseg_core.model.layers import ConvBnAct, conv_bn, conv_bn_act, nearest_like, resize_like

_EXPANSION = 6
_WIDTH = 128
_HEAD_WIDTH = 1024
_DROPOUT = 0.1

#: Auxiliary heads by name, in the order of the maps they see: channels of the map, and of the head.
_AUXILIARY = {"aux2": (16, 16), "aux3": (32, 64), "aux4": (64, 256), "aux5_4": (128, 1024)}


class BiSeNetV2(SegmentationNetwork):
    """Images -> logits at 1/8 of their size, rounded up (paper, section 4)."""

    #: One pixel of the deepest map.
    min_size = 32
    normalization = Normalization(mean=(0.3257, 0.3690, 0.3223), std=(0.2112, 0.2148, 0.2115))
    classifier_names = tuple(
        f"{head}.conv_out.1.{name}" for head in ("head", *_AUXILIARY) for name in ("weight", "bias")
    )
    training_heads = tuple(_AUXILIARY)

    def __init__(self, num_classes: int, auxiliary: float) -> None:
        """`auxiliary`: the weight of each of the four auxiliary heads."""
        super().__init__()
        self.num_classes = num_classes
        self.auxiliary = auxiliary
        self.detail = DetailBranch()
        self.segment = SemanticBranch()
        self.bga = Aggregation()
        self.head = Head(_WIDTH, _HEAD_WIDTH, nn.Identity(), _HEAD_WIDTH, num_classes)
        for name, (in_channels, channels) in _AUXILIARY.items():
            widen = nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest"), ConvBnAct(_WIDTH, channels, 3)
            )
            self.add_module(name, Head(in_channels, _WIDTH, widen, channels, num_classes))

    def forward_low(self, images: Tensor) -> Tensor:
        return self._forward(images)[0]

    def forward_training(self, images: Tensor) -> Sequence[Term]:
        """The main logits, then those from the semantic branch at 1/4, 1/8, 1/16 and 1/32."""
        low, maps = self._forward(images)
        terms = [Term(resize_like(low, images))]
        for name, x in zip(_AUXILIARY, maps, strict=True):
            logits = resize_like(self.get_submodule(name)(x), images)
            terms.append(Term(logits, self.auxiliary))
        return terms

    @staticmethod
    def rename_backbone(published: str) -> str | None:
        """All but the heads."""
        return published if published.startswith(("detail.", "segment.", "bga.")) else None

    def _forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The main logits, and the maps that auxiliary heads see."""
        check_images(images, self.min_size)
        *maps, semantic = self.segment(images)
        logits: Tensor = self.head(self.bga(self.detail(images), semantic))
        return logits, maps


class DetailBranch(nn.Module):
    """Images -> 128 channels at 1/8 (section 4.1)."""

    def __init__(self) -> None:
        super().__init__()
        self.S1 = _detail_stage(3, 64, 2)
        self.S2 = _detail_stage(64, 64, 3)
        self.S3 = _detail_stage(64, _WIDTH, 3)

    def forward(self, images: Tensor) -> Tensor:
        x: Tensor = self.S3(self.S2(self.S1(images)))
        return x


def _detail_stage(in_channels: int, channels: int, layers: int) -> nn.Sequential:
    """Halves the size."""
    return nn.Sequential(
        ConvBnAct(in_channels, channels, 3, stride=2),
        *(ConvBnAct(channels, channels, 3) for _ in range(layers - 1)),
    )


class SemanticBranch(nn.Module):
    """Images -> maps at 1/4, 1/8, 1/16, 1/32 (16, 32, 64, 128 channels), and the last one embedded
    in its context (section 4.2).
    """

    def __init__(self) -> None:
        super().__init__()
        self.S1S2 = Stem()
        self.S3 = nn.Sequential(GatherExpansionDown(16, 32), GatherExpansion(32))
        self.S4 = nn.Sequential(GatherExpansionDown(32, 64), GatherExpansion(64))
        self.S5_4 = nn.Sequential(
            GatherExpansionDown(64, _WIDTH), *(GatherExpansion(_WIDTH) for _ in range(3))
        )
        self.S5_5 = ContextEmbedding()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x4 = self.S1S2(images)
        x8 = self.S3(x4)
        x16 = self.S4(x8)
        x32 = self.S5_4(x16)
        return x4, x8, x16, x32, self.S5_5(x32)


class Stem(nn.Module):
    """Images -> 16 channels at 1/4, half of them by convolution, half by pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvBnAct(3, 16, 3, stride=2)
        self.left = nn.Sequential(ConvBnAct(16, 8), ConvBnAct(8, 16, 3, stride=2))
        self.fuse = ConvBnAct(32, 16, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv(images)
        pooled = F.max_pool2d(x, 3, stride=2, padding=1)
        y: Tensor = self.fuse(torch.cat((self.left(x), pooled), dim=1))
        return y


class GatherExpansion(nn.Module):
    """3x3 -> each channel widened to six by 3x3 -> 1x1, plus the input, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = _EXPANSION * channels
        self.conv1 = ConvBnAct(channels, channels, 3)
        self.dwconv = nn.Sequential(
            *conv_bn(channels, wide, 3, groups=channels), nn.ReLU(inplace=True)
        )
        self.conv2 = _projection(wide, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(self.dwconv(self.conv1(x))), inplace=True)


class GatherExpansionDown(nn.Module):
    """The same at half the size; its shortcut is a 3x3 on each channel -> 1x1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        wide = _EXPANSION * in_channels
        self.conv1 = ConvBnAct(in_channels, in_channels, 3)
        self.dwconv1 = conv_bn(in_channels, wide, 3, stride=2, groups=in_channels)
        self.dwconv2 = nn.Sequential(*conv_bn(wide, wide, 3, groups=wide), nn.ReLU(inplace=True))
        self.conv2 = _projection(wide, out_channels)
        self.shortcut = nn.Sequential(
            *conv_bn(in_channels, in_channels, 3, stride=2, groups=in_channels),
            *conv_bn(in_channels, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.dwconv2(self.dwconv1(self.conv1(x))))
        return F.relu(y + self.shortcut(x), inplace=True)


def _projection(in_channels: int, out_channels: int) -> nn.Sequential:
    """1x1 -> BN that starts at zero, so that a fresh block is its shortcut."""
    layers = conv_bn(in_channels, out_channels)
    nn.init.zeros_(layers.get_parameter("1.weight"))
    return layers


class ContextEmbedding(nn.Module):
    """Adds to each pixel what is made of the mean over all."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(_WIDTH)
        self.conv_gap = ConvBnAct(_WIDTH, _WIDTH)
        self.conv_last = ConvBnAct(_WIDTH, _WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        context = self.conv_gap(self.bn(x.mean(dim=(2, 3), keepdim=True)))
        y: Tensor = self.conv_last(x + context)
        return y


class Aggregation(nn.Module):
    """Each branch gated by the other, at 1/8 and at 1/32, and added (section 4.3).

    128 channels at 1/8 and at 1/32 -> 128 channels at 1/8.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left1 = _separable()
        self.left2 = nn.Sequential(
            *conv_bn(_WIDTH, _WIDTH, 3, stride=2), nn.AvgPool2d(3, stride=2, padding=1)
        )
        self.right1 = conv_bn(_WIDTH, _WIDTH, 3)
        self.right2 = _separable()
        self.conv = conv_bn_act(_WIDTH, _WIDTH, 3)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        fine = self.left1(detail) * torch.sigmoid(nearest_like(self.right1(semantic), detail))
        coarse = self.left2(detail) * torch.sigmoid(self.right2(semantic))
        y: Tensor = self.conv(fine + nearest_like(coarse, detail))
        return y


def _separable() -> nn.Sequential:
    """3x3 on each channel -> BN -> 1x1."""
    return nn.Sequential(
        *conv_bn(_WIDTH, _WIDTH, 3, groups=_WIDTH), nn.Conv2d(_WIDTH, _WIDTH, 1, bias=False)
    )


class Head(nn.Module):
    """3x3 -> dropout -> `widen`, which makes `channels` of `width` -> 1x1 to logits."""

    def __init__(
        self, in_channels: int, width: int, widen: nn.Module, channels: int, num_classes: int
    ) -> None:
        super().__init__()
        self.conv = ConvBnAct(in_channels, width, 3)
        self.drop = nn.Dropout(_DROPOUT)
        self.conv_out = nn.Sequential(widen, nn.Conv2d(channels, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv_out(self.drop(self.conv(x)))
        return logits
