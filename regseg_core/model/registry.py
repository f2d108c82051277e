"""Every network there is, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial

import torch

from regseg_core.errors import ArgumentError
from regseg_core.model.contract import Normalization, SegmentationNetwork
from regseg_core.model.networks.bisenetv2 import BiSeNetV2
from regseg_core.model.networks.ddrnet import DdrNet
from regseg_core.model.networks.deeplabv3 import deeplabv3_head
from regseg_core.model.networks.deeplabv3plus import DeepLabV3Plus
from regseg_core.model.networks.fcn import DilatedFcn, fcn_head
from regseg_core.model.networks.hardnet import FcHarDNet
from regseg_core.model.networks.mobilenetv2 import MobileNetV2
from regseg_core.model.networks.pidnet import PidNet
from regseg_core.model.networks.pspnet import PspNet50
from regseg_core.model.networks.resnet import STRIDE_8, STRIDE_16, ResNet50
from regseg_core.model.networks.sfnet import SfNet
from regseg_core.model.networks.stdc import StdcSeg
from regseg_core.model.regseg.variants import BACKBONES, DECODERS, VARIANTS

#: Number of classes -> network. A new one is a row here.
NETWORKS: dict[str, Callable[[int], SegmentationNetwork]] = {
    "regseg48": VARIANTS["exp48_decoder26"],
    "regseg53": VARIANTS["exp53_decoder29"],
    "fcn_resnet50": partial(DilatedFcn, head=fcn_head, auxiliary=0.5),
    "pspnet50": partial(PspNet50, auxiliary=0.4),
    "deeplabv3_resnet50": partial(DilatedFcn, head=deeplabv3_head, auxiliary=0.5),
    "deeplabv3plus_resnet50": partial(
        DeepLabV3Plus, backbone=partial(ResNet50, STRIDE_16), rates=(6, 12, 18)
    ),
    "deeplabv3plus_resnet50_os8": partial(
        DeepLabV3Plus, backbone=partial(ResNet50, STRIDE_8), rates=(12, 24, 36)
    ),
    "deeplabv3plus_mobilenet": partial(DeepLabV3Plus, backbone=MobileNetV2, rates=(6, 12, 18)),
    "bisenetv2": partial(BiSeNetV2, auxiliary=1.0),
    "stdc1_seg": partial(StdcSeg, blocks=(2, 2, 2), auxiliary=1.0, detail=1.0),
    "stdc2_seg": partial(StdcSeg, blocks=(4, 5, 3), auxiliary=1.0, detail=1.0),
    "ddrnet23": partial(DdrNet, channels=64, head=128, auxiliary=0.4),
    "ddrnet23_slim": partial(DdrNet, channels=32, head=64, auxiliary=0.4),
    "fc_hardnet70": FcHarDNet,
    "sfnet_resnet18": partial(SfNet, auxiliary=1.0),
    "pidnet_s": partial(
        PidNet, channels=32, pyramid=96, head=128, auxiliary=0.4, boundary=20.0, aware=1.0
    ),
}

_BY_NAME: dict[str, Callable[[int], SegmentationNetwork]] = {**NETWORKS, **VARIANTS}


def model_names() -> list[str]:
    """Every name that `create_model` takes; RegSeg's ablation tables come last."""
    return list(_BY_NAME)


def normalization_of(name: str) -> Normalization:
    """What the network of that name wants its input normalised with. Raises ArgumentError."""
    with torch.device("meta"):  # no memory, and no random numbers
        return create_model(name, 1).normalization


def create_model(name: str, num_classes: int) -> SegmentationNetwork:
    """The network of that name with fresh weights, in training mode.

    Raises ArgumentError, with the names there are, for an unknown name, and for fewer than 1 class.
    """
    if name not in _BY_NAME:
        close = difflib.get_close_matches(name, _BY_NAME, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ArgumentError(
            f"no model is named {name!r}{hint}; there are: {', '.join(NETWORKS)},"
            f" and <backbone>_<decoder> of {', '.join(BACKBONES)} and {', '.join(DECODERS)}"
        )
    if num_classes < 1:
        raise ArgumentError(f"a model needs at least 1 class, not {num_classes}")
    return _BY_NAME[name](num_classes)
