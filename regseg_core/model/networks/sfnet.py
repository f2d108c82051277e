"""SFNet: a feature pyramid whose maps are aligned by learnt flow (Li et al., arXiv 2002.10120).

Section 3 of the paper has the alignment and the pyramid. Attribute names are those of the published
checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.contract import (
    IMAGENET,
    SegmentationNetwork,
    Term,
    check_images,
)
from regseg_core.model.layers import MeanBins, conv_bn_act, resize_like
from regseg_core.model.networks.deep_resnet18 import basic_stage, deep_stem

_WIDTH = 128
_FLOW_WIDTH = 64
_LATERAL = (64, 128, 256)
_DEEPEST = 512
_BINS = (1, 2, 3, 6)
_DROPOUT = 0.1


class PyramidPooling(nn.Module):
    """The deepest map, seen at four scales and its own: 512 -> 128 channels, same size."""

    def __init__(self) -> None:
        super().__init__()
        # No ReLU, unlike PSPNet's.
        self.stages = nn.ModuleList(
            nn.Sequential(
                MeanBins(bins), nn.Conv2d(_DEEPEST, _WIDTH, 1, bias=False), nn.BatchNorm2d(_WIDTH)
            )
            for bins in _BINS
        )
        self.bottleneck = nn.Sequential(
            *conv_bn_act(_DEEPEST + len(_BINS) * _WIDTH, _WIDTH), nn.Dropout2d(_DROPOUT)
        )

    def forward(self, x: Tensor) -> Tensor:
        scales = [resize_like(stage(x), x, align_corners=True) for stage in self.stages]
        y: Tensor = self.bottleneck(torch.cat([*scales, x], dim=1))
        return y


class FlowAlignment(nn.Module):
    """Brings a coarse map to a finer one's size along a flow that both give."""

    def __init__(self) -> None:
        super().__init__()
        self.down_h = nn.Conv2d(_WIDTH, _FLOW_WIDTH, 1, bias=False)
        self.down_l = nn.Conv2d(_WIDTH, _FLOW_WIDTH, 1, bias=False)
        self.flow_make = nn.Conv2d(2 * _FLOW_WIDTH, 2, 3, padding=1, bias=False)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """`low` N x C x H x W, the finer; `high` N x C x h x w -> N x C x H x W."""
        fine = self.down_l(low)
        coarse = resize_like(self.down_h(high), fine, align_corners=True)
        return follow(high, self.flow_make(torch.cat((coarse, fine), dim=1)))


def follow(x: Tensor, flow: Tensor) -> Tensor:
    """Samples N x C x h x w where N x 2 x H x W points, in (x, y) -> N x C x H x W.

    Published weights count flow in halves of a pixel of the result.
    """
    height, width = flow.shape[-2:]
    # Half precision would place samples up to half a pixel wrong.
    dtype = torch.promote_types(x.dtype, torch.float32)
    down = torch.linspace(-1, 1, height, dtype=dtype, device=x.device)
    across = torch.linspace(-1, 1, width, dtype=dtype, device=x.device)
    grid = torch.stack(
        (
            across[None, None, :] + flow[:, 0].to(dtype) / width,
            down[None, :, None] + flow[:, 1].to(dtype) / height,
        ),
        dim=3,
    )
    sampled = F.grid_sample(
        x.to(dtype), grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return sampled.to(x.dtype)


def lateral(in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, _WIDTH, 1), nn.BatchNorm2d(_WIDTH), nn.ReLU(inplace=True)
    )


def deep_supervision(num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
        nn.BatchNorm2d(_WIDTH),
        nn.ReLU(inplace=True),
        nn.Dropout2d(_DROPOUT),
        nn.Conv2d(_WIDTH, num_classes, 1),
    )


class SfNetHead(nn.Module):
    """The backbone's maps at 1/4, 1/8, 1/16 and 1/32 -> logits at 1/4."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.ppm = PyramidPooling()
        self.fpn_in = nn.ModuleList(lateral(channels) for channels in _LATERAL)
        self.fpn_out_align = nn.ModuleList(FlowAlignment() for _ in _LATERAL)
        self.fpn_out = nn.ModuleList(
            nn.Sequential(conv_bn_act(_WIDTH, _WIDTH, 3)) for _ in _LATERAL
        )
        self.conv_last = nn.Sequential(
            conv_bn_act((len(_LATERAL) + 1) * _WIDTH, _WIDTH, 3), nn.Conv2d(_WIDTH, num_classes, 1)
        )
        self.dsn = nn.ModuleList(deep_supervision(num_classes) for _ in _LATERAL)

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps of the backbone -> four of 128 channels at the same sizes, finest first."""
        levels = [self.ppm(maps[-1])]
        steps = list(zip(maps[:-1], self.fpn_in, self.fpn_out_align, strict=True))
        for given, enter, align in reversed(steps):
            low = enter(given)
            levels.append(low + align(low, levels[-1]))
        return levels[::-1]

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """What `pyramid` gives -> logits of the finest level's size."""
        *finer, deepest = levels
        outputs = [out(level) for out, level in zip(self.fpn_out, finer, strict=True)]
        same = [resize_like(x, levels[0], align_corners=True) for x in (*outputs[1:], deepest)]
        logits: Tensor = self.conv_last(torch.cat([outputs[0], *same], dim=1))
        return logits


class SfNet(SegmentationNetwork):
    """SFNet with ResNet-18: images -> logits at 1/4, rounded up.

    `auxiliary` is the weight of each of the three heads that deep supervision adds.
    """

    min_size = 32
    normalization = IMAGENET
    classifier_names = (
        "head.conv_last.1.weight",
        "head.conv_last.1.bias",
        *(f"head.dsn.{level}.4.{kind}" for level in range(3) for kind in ("weight", "bias")),
    )
    training_heads = ("head.dsn",)

    def __init__(self, num_classes: int, auxiliary: float) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.auxiliary = auxiliary
        self.layer0 = deep_stem()
        self.layer1 = basic_stage(128, 64, stride=1, dilation=1)
        self.layer2 = basic_stage(64, 128, stride=2, dilation=1)
        self.layer3 = basic_stage(128, 256, stride=2, dilation=2)
        self.layer4 = basic_stage(256, _DEEPEST, stride=2, dilation=4)
        self.head = SfNetHead(num_classes)

    def levels(self, images: Tensor) -> list[Tensor]:
        """128 channels at 1/4, 1/8, 1/16 and 1/32 of the input's size, rounded up."""
        check_images(images, self.min_size)
        x, maps = self.layer0(images), []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return self.head.pyramid(maps)

    def forward_low(self, images: Tensor) -> Tensor:
        """Logits of 1/4 of the input's size, rounded up. Raises ValueError as the contract says."""
        logits: Tensor = self.head(self.levels(images))
        return logits

    def forward_training(self, images: Tensor) -> list[Term]:
        """The main logits, then deep supervision's at 1/4, 1/8 and 1/16."""
        levels = self.levels(images)
        deep = [head(level) for head, level in zip(self.head.dsn, levels[:-1], strict=True)]
        terms = [Term(resize_like(self.head(levels), images))]
        return terms + [Term(resize_like(low, images), self.auxiliary) for low in deep]

    @staticmethod
    def rename_backbone(published: str) -> str | None:
        """SFSegNets' ResNet-18; torchvision's fits but for its stem and the first convolutions."""
        for theirs, ours in (("conv1.", "layer0.0."), ("bn1.", "layer0.1.")):
            if published.startswith(theirs):
                return ours + published.removeprefix(theirs)
        return published if published.startswith("layer") else None
