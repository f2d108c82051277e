"""What the network computes in: in one table, one place that chooses."""

from __future__ import annotations

import torch

from regseg_core.device import has_fast_bfloat16, has_fast_int8
from regseg_core.errors import ArgumentError

#: Of weights and activations. int8 is OpenVINO's alone, and of most layers.
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}


def choose_precision(
    name: str, device: torch.device, no_int8: str = "it is for segmenting with OpenVINO"
) -> str:
    """`auto` is float16 on a GPU; on a CPU the first that it is fast at of int8, bfloat16, float32.

    `no_int8`: why int8 is out of the question; empty where it is not. Raises ArgumentError for a
    name that is not in `PRECISIONS`, and with that reason for int8.
    """
    if name == "auto":
        if device.type == "cuda":
            return "float16"
        return "int8" if has_fast_int8() and not no_int8 else _float_on_cpu()
    if name not in PRECISIONS:
        raise ArgumentError(f"precision {name!r}: give auto, {', '.join(PRECISIONS)}")
    if name == "int8" and (device.type != "cpu" or not has_fast_int8()):
        raise ArgumentError(f"precision int8 needs a CPU with VNNI; {device} is none")
    if name == "int8" and no_int8:
        raise ArgumentError(f"precision int8: {no_int8}")
    return name


def float_precision(name: str) -> str:
    """What is computed in where it cannot be int8: in layers that are not, and by PyTorch."""
    return _float_on_cpu() if name == "int8" else name


def float_type(name: str) -> torch.dtype:
    """The type of a network's parameters with that precision in PyTorch."""
    return PRECISIONS[float_precision(name)]


def _float_on_cpu() -> str:
    return "bfloat16" if has_fast_bfloat16() else "float32"
