"""What the network computes in: one table, one place that chooses."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from regseg_core.device import has_fast_bfloat16
from regseg_core.errors import ArgumentError


@dataclass(frozen=True)
class Precision:
    """A way of computing: the type of the graph's weights and activations."""

    dtype: torch.dtype
    #: Whether numbers measured on images are needed before a graph can be compiled in it.
    calibrated: bool = False


PRECISIONS = {
    "float32": Precision(torch.float32),
    "bfloat16": Precision(torch.bfloat16),
    "float16": Precision(torch.float16),
}


def choose_precision(name: str, device: torch.device) -> str:
    """`auto` is float16 on a GPU, bfloat16 on a CPU that is fast at it, else float32.

    Raises ArgumentError for a name that is not in `PRECISIONS`.
    """
    if name == "auto":
        if device.type == "cuda":
            return "float16"
        return "bfloat16" if has_fast_bfloat16() else "float32"
    if name not in PRECISIONS:
        raise ArgumentError(f"precision {name!r}: give auto, {', '.join(PRECISIONS)}")
    return name
