"""The backbone: stages of D blocks, built from a table."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from regseg_core.model.regseg.blocks import DBlock


@dataclass(frozen=True)
class BlockSpec:
    """One row of a stage: its output channels and the dilations of its 3 x 3 convolution."""

    channels: int
    dilations: tuple[int, ...]


@dataclass(frozen=True)
class BackboneSpec:
    """Stages in order, by published name. `stage32` (RegNetY) keeps the stride of 16."""

    group_width: int
    stages: dict[str, tuple[BlockSpec, ...]]
    pooled_shortcut: bool = True


@dataclass(frozen=True)
class Features:
    """The three maps that a decoder reads, at 1/4, 1/8 and 1/16 of the image's size."""

    quarter: Tensor
    eighth: Tensor
    sixteenth: Tensor


class Backbone(nn.Module):
    """32-channel stem at 1/2 -> `Features`."""

    def __init__(self, spec: BackboneSpec, in_channels: int) -> None:
        super().__init__()
        self.stage_names = tuple(spec.stages)
        for name, rows in spec.stages.items():
            stride = 1 if name == "stage32" else 2
            widths = [in_channels, *(row.channels for row in rows)]
            blocks = [
                DBlock(
                    width_in,
                    width_out,
                    row.dilations,
                    spec.group_width,
                    stride if index == 0 else 1,
                    spec.pooled_shortcut,
                )
                for index, ((width_in, width_out), row) in enumerate(
                    zip(pairwise(widths), rows, strict=True)
                )
            ]
            # A stage of one block carries no index in the published parameter names.
            self.add_module(name, blocks[0] if len(blocks) == 1 else nn.Sequential(*blocks))
            in_channels = widths[-1]

    def forward(self, x: Tensor) -> Features:
        maps = []
        for name in self.stage_names:
            x = self.get_submodule(name)(x)
            maps.append(x)
        return Features(quarter=maps[0], eighth=maps[1], sixteenth=maps[-1])
