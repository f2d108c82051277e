"""The decoders: light heads that bring detail back (paper, section 3.4 and ablation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from regseg_core.model.layers import ConvBnAct, resize_like
from regseg_core.model.regseg.backbone import Features
from regseg_core.model.regseg.blocks import DBlock


@dataclass(frozen=True)
class EighthDecoderSpec:
    """Logits at 1/8: two heads merged, one refining block of 128 channels."""

    head16: int
    head8: int
    merge: Literal["add", "concatenate"]
    refine: Literal["conv1x1", "conv3x3", "dblock"]


@dataclass(frozen=True)
class QuarterDecoderSpec:
    """Logits at 1/4: heads of 1/16 and 1/8 added, the head of 1/4 concatenated."""

    head16: int
    head8: int
    head4: int
    conv8: int
    conv4: int


DecoderSpec = EighthDecoderSpec | QuarterDecoderSpec


class EighthDecoder(nn.Module):
    """Features of `channels` = (1/4, 1/8, 1/16) wide -> logits at 1/8."""

    def __init__(
        self, spec: EighthDecoderSpec, channels: tuple[int, int, int], num_classes: int
    ) -> None:
        super().__init__()
        self.add = spec.merge == "add"
        self.head16 = ConvBnAct(channels[2], spec.head16)
        self.head8 = ConvBnAct(channels[1], spec.head8)
        merged = spec.head16 if self.add else spec.head16 + spec.head8
        self.conv: nn.Module = (
            DBlock(merged, 128, (1,), group_width=16, stride=1)
            if spec.refine == "dblock"
            else ConvBnAct(merged, 128, 3 if spec.refine == "conv3x3" else 1)
        )
        self.classifier = nn.Conv2d(128, num_classes, 1)

    def forward(self, features: Features) -> Tensor:
        x8 = self.head8(features.eighth)
        x16 = resize_like(self.head16(features.sixteenth), x8)
        x = x8 + x16 if self.add else torch.cat((x8, x16), dim=1)
        logits: Tensor = self.classifier(self.conv(x))
        return logits


class QuarterDecoder(nn.Module):
    """Features of `channels` = (1/4, 1/8, 1/16) wide -> logits at 1/4."""

    def __init__(
        self, spec: QuarterDecoderSpec, channels: tuple[int, int, int], num_classes: int
    ) -> None:
        super().__init__()
        self.head16 = ConvBnAct(channels[2], spec.head16)
        self.head8 = ConvBnAct(channels[1], spec.head8)
        self.head4 = ConvBnAct(channels[0], spec.head4)
        self.conv8 = ConvBnAct(spec.head8, spec.conv8, 3)
        self.conv4 = ConvBnAct(spec.conv8 + spec.head4, spec.conv4, 3)
        self.classifier = nn.Conv2d(spec.conv4, num_classes, 1)

    def forward(self, features: Features) -> Tensor:
        x8 = self.head8(features.eighth)
        x8 = self.conv8(x8 + resize_like(self.head16(features.sixteenth), x8))
        x4 = self.head4(features.quarter)
        x4 = self.conv4(torch.cat((resize_like(x8, x4), x4), dim=1))
        logits: Tensor = self.classifier(x4)
        return logits


def build_decoder(
    spec: DecoderSpec, channels: tuple[int, int, int], num_classes: int
) -> EighthDecoder | QuarterDecoder:
    if isinstance(spec, QuarterDecoderSpec):
        return QuarterDecoder(spec, channels, num_classes)
    return EighthDecoder(spec, channels, num_classes)
