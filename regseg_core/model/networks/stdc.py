"""STDC-Seg: a light backbone that is taught detail in training (Fan et al., arXiv 2104.13188).

Names are those of the published weights. They were trained with norms that multiply by |weight| +
1e-5 outside the backbone; plain ones take their place here, which moves logits by 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.contract import IMAGENET, SegmentationNetwork, Term, check_images
from regseg_core.model.layers import ConvBnAct, conv_bn, nearest_like, resize_like

_STEM = (32, 64)
_STAGES = (256, 512, 1024)
_CONTEXT = 128
_FUSED = 256
_HEAD = 64

#: Of detail at other strides: in the published weights, in no loss.
_UNUSED_HEADS = ("conv_out_sp2.", "conv_out_sp4.", "conv_out_sp16.")


class StdcSeg(SegmentationNetwork):
    """Images -> logits at 1/8 of their size, rounded up (paper, section 3)."""

    #: One pixel of the deepest map.
    min_size = 32
    normalization = IMAGENET
    classifier_names = tuple(
        f"{head}.conv_out.weight" for head in ("conv_out", "conv_out16", "conv_out32")
    )
    training_heads = ("conv_out16", "conv_out32", "conv_out_sp8")

    def __init__(
        self, num_classes: int, blocks: tuple[int, int, int], auxiliary: float, detail: float
    ) -> None:
        """`blocks` at 1/8, 1/16 and 1/32; the weights of two auxiliary heads and of the detail."""
        super().__init__()
        self.num_classes = num_classes
        self.auxiliary = auxiliary
        self.detail = detail
        self.cp = ContextPath(blocks)
        self.ffm = FeatureFusion(_STAGES[0] + _CONTEXT, _FUSED)
        self.conv_out = Head(_FUSED, _FUSED, num_classes)
        # Numbered in the published code by the map they once saw: these see 1/8 and 1/16.
        self.conv_out16 = Head(_CONTEXT, _HEAD, num_classes)
        self.conv_out32 = Head(_CONTEXT, _HEAD, num_classes)
        self.conv_out_sp8 = Head(_STAGES[0], _HEAD, 1)

    def forward_low(self, images: Tensor) -> Tensor:
        return self._forward(images)[0]

    def forward_training(self, images: Tensor) -> Sequence[Term]:
        """The main logits, those of the context at 1/8 and 1/16, and the detail at 1/8."""
        low, (backbone8, context8, context16) = self._forward(images)
        return [
            Term(resize_like(low, images)),
            Term(resize_like(self.conv_out16(context8), images), self.auxiliary),
            Term(resize_like(self.conv_out32(context16), images), self.auxiliary),
            Term(resize_like(self.conv_out_sp8(backbone8), images), self.detail, target="detail"),
        ]

    def _forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """The main logits, and the maps that the other heads see."""
        check_images(images, self.min_size)
        maps = self.cp(images)
        logits: Tensor = self.conv_out(self.ffm(*maps[:2]))
        return logits, maps

    @staticmethod
    def rename(published: str) -> str | None:
        """Leaves out second names of the backbone's tensors, its classifier, and unused heads."""
        in_backbone = published.startswith("cp.backbone.")
        if in_backbone and not published.startswith("cp.backbone.features."):
            return None
        return None if published.startswith(_UNUSED_HEADS) else published

    @staticmethod
    def rename_backbone(published: str) -> str | None:
        return f"cp.backbone.{published}" if published.startswith("features.") else None


class Block(nn.Module):
    """Short-term dense concatenation: four convolutions in a row, all kept (section 3.1).

    1/2, 1/4, 1/8 and 1/8 of `out_channels`; with `stride` 2 the first is pooled, and the second
    sees it through a 3x3 on each channel.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        widths = [out_channels // share for share in (2, 4, 8, 8)]
        self.conv_list = nn.ModuleList(
            [
                ConvBnAct(in_channels, widths[0]),
                *(ConvBnAct(a, b, 3) for a, b in pairwise(widths)),
            ]
        )
        self.avd_layer: nn.Module | None = None
        if stride == 2:
            half = widths[0]
            self.avd_layer = conv_bn(half, half, 3, stride=2, groups=half)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.conv_list
        x = first(x)
        kept = [x]
        if self.avd_layer is not None:
            kept = [F.avg_pool2d(x, 3, stride=2, padding=1)]
            x = self.avd_layer(x)
        for conv in others:
            x = conv(x)
            kept.append(x)
        return torch.cat(kept, dim=1)


class StdcNet(nn.Module):
    """Images -> 256, 512 and 1024 channels at 1/8, 1/16 and 1/32."""

    def __init__(self, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            ConvBnAct(3, _STEM[0], 3, stride=2),
            ConvBnAct(_STEM[0], _STEM[1], 3, stride=2),
        ]
        in_channels = _STEM[1]
        for channels, count in zip(_STAGES, blocks, strict=True):
            for index in range(count):
                layers.append(Block(in_channels, channels, 1 if index else 2))
                in_channels = channels
        self.features = nn.Sequential(*layers)
        #: Index after the last block of each stage.
        self.ends = [len(_STEM) + end for end in accumulate(blocks)]

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for number, layer in enumerate(self.features, start=1):
            x = layer(x)
            if number in self.ends:
                maps.append(x)
        return maps


class AttentionRefinement(nn.Module):
    """3x3, each channel scaled by a gate computed from all channels' spatial means."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = ConvBnAct(in_channels, channels, 3)
        self.conv_atten = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        gate = self.bn_atten(self.conv_atten(x.mean(dim=(2, 3), keepdim=True)))
        return x * torch.sigmoid(gate)


class ContextPath(nn.Module):
    """Images -> the backbone's map at 1/8 (256 channels), and the context at 1/8 and 1/16 (128)."""

    def __init__(self, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        self.backbone = StdcNet(blocks)
        self.arm16 = AttentionRefinement(_STAGES[1], _CONTEXT)
        self.arm32 = AttentionRefinement(_STAGES[2], _CONTEXT)
        self.conv_head32 = ConvBnAct(_CONTEXT, _CONTEXT, 3)
        self.conv_head16 = ConvBnAct(_CONTEXT, _CONTEXT, 3)
        self.conv_avg = ConvBnAct(_STAGES[2], _CONTEXT)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x8, x16, x32 = self.backbone(images)
        y = self.arm32(x32) + self.conv_avg(x32.mean(dim=(2, 3), keepdim=True))
        y16 = self.conv_head32(nearest_like(y, x16))
        y8 = self.conv_head16(nearest_like(self.arm16(x16) + y16, x8))
        return x8, y8, y16


class FeatureFusion(nn.Module):
    """Two maps of one size -> `channels`, with more of those that a gate picks."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.convblk = ConvBnAct(in_channels, channels)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        x: Tensor = self.convblk(torch.cat((detail, context), dim=1))
        gate = torch.sigmoid(self.conv2(F.relu(self.conv1(x.mean(dim=(2, 3), keepdim=True)))))
        return x + x * gate


class Head(nn.Module):
    """3x3 -> 1x1 without bias: N x C x h x w -> logits N x `out_channels` x h x w."""

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBnAct(in_channels, channels, 3)
        self.conv_out = nn.Conv2d(channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv_out(self.conv(x))
        return logits
