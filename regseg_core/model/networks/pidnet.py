"""PIDNet (Xu et al., arXiv 2206.02066): branches for detail, context and boundaries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.contract import IMAGENET, SegmentationNetwork, Term, check_images
from regseg_core.model.layers import conv_bn, resize_like
from regseg_core.model.networks.pyramid import BnFirstHead, Pappm
from regseg_core.model.networks.residual import (
    BasicBlock,
    basic_stage,
    bottleneck_stage,
    stem,
)

#: Of a boundary, from which on a pixel counts in the boundary-aware loss.
_PROBABLE = 0.8


class PixelAttention(nn.Module):
    """The paper's Pag: takes from the context branch where both branches see the same.

    Detail N x C x H x W, context N x C x h x w -> N x C x H x W.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.f_x = conv_bn(channels, channels // 2)
        self.f_y = conv_bn(channels, channels // 2)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        alike = (self.f_x(detail) * resize_like(self.f_y(context), detail)).sum(1, keepdim=True)
        share = torch.sigmoid(alike)
        return (1 - share) * detail + share * resize_like(context, detail)


class LightBag(nn.Module):
    """The paper's Light-Bag: detail where a boundary is probable, context elsewhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_p = conv_bn(channels, channels)
        self.conv_i = conv_bn(channels, channels)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        probable = torch.sigmoid(boundary)
        mostly_context = self.conv_p((1 - probable) * context + detail)
        fused: Tensor = mostly_context + self.conv_i(context + probable * detail)
        return fused


class PidNet(SegmentationNetwork):
    """PIDNet of one width, the small one with 32 channels: images -> logits at 1/8, rounded up.

    `channels` is the width at 1/4, `pyramid` and `head` those of these two; `auxiliary`, `boundary`
    and `aware` are the weights of the detail branch's loss, the boundaries' and the main one's
    where a boundary is probable. Modules end in `_` on the detail branch and in `_d` on the
    boundary branch, which both stay at 1/8.
    """

    min_size = 32
    normalization = IMAGENET
    classifier_names = (
        "final_layer.conv2.weight",
        "final_layer.conv2.bias",
        "seghead_p.conv2.weight",
        "seghead_p.conv2.bias",
    )
    training_heads = ("seghead_p", "seghead_d")

    def __init__(
        self,
        num_classes: int,
        channels: int,
        pyramid: int,
        head: int,
        auxiliary: float,
        boundary: float,
        aware: float,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.auxiliary, self.boundary, self.aware = auxiliary, boundary, aware
        c = channels
        self.conv1 = stem(c)
        self.layer1 = basic_stage(c, c, 2)
        self.layer2 = basic_stage(c, 2 * c, 2, stride=2)
        self.layer3 = basic_stage(2 * c, 4 * c, 3, stride=2)
        self.layer4 = basic_stage(4 * c, 8 * c, 3, stride=2)
        self.layer5 = bottleneck_stage(8 * c, 8 * c, 2, stride=2)
        self.spp = Pappm(16 * c, pyramid, 4 * c)

        self.layer3_ = basic_stage(2 * c, 2 * c, 2)
        self.layer4_ = basic_stage(2 * c, 2 * c, 2)
        self.layer5_ = bottleneck_stage(2 * c, 2 * c, 1)
        self.compression3 = conv_bn(4 * c, 2 * c)
        self.compression4 = conv_bn(8 * c, 2 * c)
        self.pag3 = PixelAttention(2 * c)
        self.pag4 = PixelAttention(2 * c)

        self.layer3_d = BasicBlock(2 * c, c)
        self.layer4_d = bottleneck_stage(c, c, 1)
        self.layer5_d = bottleneck_stage(2 * c, 2 * c, 1)
        self.diff3 = conv_bn(4 * c, c, 3)
        self.diff4 = conv_bn(8 * c, 2 * c, 3)

        self.dfm = LightBag(4 * c)
        self.final_layer = BnFirstHead(4 * c, head, num_classes)
        self.seghead_p = BnFirstHead(2 * c, head, num_classes)
        self.seghead_d = BnFirstHead(2 * c, c, 1)

    def forward_low(self, images: Tensor) -> Tensor:
        """Logits of 1/8 of the input's size, rounded up. Raises ValueError as the contract says."""
        return self._forward(images)[0]

    def forward_training(self, images: Tensor) -> Sequence[Term]:
        low, detail, boundary = self._forward(images)
        logits = resize_like(low, images)
        edges = resize_like(self.seghead_d(boundary), images)
        probable = torch.sigmoid(edges[:, 0]) > _PROBABLE
        return [
            Term(logits),
            Term(resize_like(self.seghead_p(detail), images), self.auxiliary),
            Term(edges, self.boundary, "boundary"),
            Term(logits, self.aware, where=probable),
        ]

    def _forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, and what the training heads see, rectified: detail and boundary branch."""
        check_images(images, self.min_size)
        x = F.relu(self.layer1(self.conv1(images)), inplace=True)
        x = F.relu(self.layer2(x), inplace=True)

        detail, boundary = self.layer3_(x), self.layer3_d(x)
        x = F.relu(self.layer3(x), inplace=True)
        detail = F.relu(self.pag3(detail, self.compression3(x)), inplace=True)
        boundary = F.relu(boundary + resize_like(self.diff3(x), boundary), inplace=True)
        seen_detail = detail

        detail, boundary = self.layer4_(detail), self.layer4_d(boundary)
        x = F.relu(self.layer4(x), inplace=True)
        detail = F.relu(self.pag4(detail, self.compression4(x)), inplace=True)
        boundary = F.relu(boundary + resize_like(self.diff4(x), boundary), inplace=True)
        seen_boundary = boundary

        detail, boundary = self.layer5_(detail), self.layer5_d(boundary)
        context = self.spp(self.layer5(x))
        fused = self.dfm(detail, resize_like(context, detail), boundary)
        return self.final_layer(fused), seen_detail, seen_boundary

    @staticmethod
    def rename_backbone(published: str) -> str | None:
        """Of the ImageNet network, all but its classifier; it has neither pyramid nor heads."""
        part = published.partition(".")[0]
        shared = ("layer", "compression", "pag", "diff")
        return published if part == "conv1" or part.startswith(shared) else None
