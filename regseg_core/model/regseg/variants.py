"""RegSeg's variants, as tables (paper, tables 3 to 6; names of the published code)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from regseg_core.model.regseg.backbone import BackboneSpec, BlockSpec
from regseg_core.model.regseg.decoder import DecoderSpec, EighthDecoderSpec, QuarterDecoderSpec
from regseg_core.model.regseg.network import RegSeg

Dilations = tuple[tuple[int, ...], ...]


def _regseg(dilations: Dilations) -> BackboneSpec:
    """The paper's backbone with its last 13 blocks' dilations."""
    return BackboneSpec(
        group_width=16,
        stages={
            "stage4": (BlockSpec(48, (1,)),),
            "stage8": 3 * (BlockSpec(128, (1,)),),
            "stage16": (
                BlockSpec(256, (1,)),
                *(BlockSpec(256, d) for d in dilations[:-1]),
                BlockSpec(320, dilations[-1]),
            ),
        },
    )


def _regseg_large(dilations: Dilations) -> BackboneSpec:
    return BackboneSpec(
        group_width=24,
        stages={
            "stage4": 2 * (BlockSpec(48, (1,)),),
            "stage8": 6 * (BlockSpec(120, (1,)),),
            "stage16": (
                BlockSpec(336, (1,)),
                *(BlockSpec(336, d) for d in dilations[:-1]),
                BlockSpec(384, dilations[-1]),
            ),
        },
    )


def _regnety_600mf() -> BackboneSpec:
    return BackboneSpec(
        group_width=16,
        pooled_shortcut=False,
        stages={
            "stage4": (BlockSpec(48, (1,)),),
            "stage8": 3 * (BlockSpec(112, (1,)),),
            "stage16": 7 * (BlockSpec(256, (1,)),),
            "stage32": (BlockSpec(608, (1,)), *(3 * (BlockSpec(608, (2,)),))),
        },
    )


_EXP48: Dilations = ((1,), (1, 2), *(4 * ((1, 4),)), *(7 * ((1, 14),)))
_TO_10: Dilations = ((1,), (1, 2), (1, 4), (1, 6), (1, 8), (1, 10))

BACKBONES: dict[str, BackboneSpec] = {
    "exp48": _regseg(_EXP48),
    "exp43": _regseg((*_TO_10, *(7 * ((1, 12),)))),
    "exp50": _regseg((*_TO_10, *(7 * ((1, 3, 6, 12),)))),
    "exp46": _regseg((*_TO_10[:5], *(8 * ((1, 10),)))),
    "exp49": _regseg(((1,), (1, 2), *(6 * ((1, 4),)), *(5 * ((1, 6, 12, 18),)))),
    "exp52": _regseg(((1,), (1, 2), (1, 4), *(10 * ((1, 6),)))),
    "exp47": _regseg((*_TO_10, (1, 12), *(6 * ((1, 14),)))),
    "exp30": _regseg((*(5 * ((1, 4),)), *(8 * ((1, 10),)))),
    "exp51": _regseg((*_TO_10, *(7 * ((1, 4, 8, 12),)))),
    "exp53": _regseg_large(_EXP48),
    "regnety600mf": _regnety_600mf(),
}

DECODERS: dict[str, DecoderSpec] = {
    "decoder26": QuarterDecoderSpec(head16=128, head8=128, head4=8, conv8=64, conv4=64),
    "decoder29": QuarterDecoderSpec(head16=256, head8=256, head4=16, conv8=128, conv4=128),
    "decoder14": EighthDecoderSpec(head16=128, head8=128, merge="add", refine="conv3x3"),
    "decoder12": EighthDecoderSpec(head16=128, head8=128, merge="add", refine="conv1x1"),
    "decoder10": EighthDecoderSpec(head16=128, head8=32, merge="concatenate", refine="dblock"),
    "decoder4": EighthDecoderSpec(head16=128, head8=32, merge="concatenate", refine="conv3x3"),
}

#: By their published names, <backbone>_<decoder>: number of classes -> network.
VARIANTS: dict[str, Callable[[int], RegSeg]] = {
    f"{backbone}_{decoder}": partial(RegSeg, BACKBONES[backbone], DECODERS[decoder])
    for backbone in BACKBONES
    for decoder in DECODERS
}
