"""Weights and inputs that need no file: the formulas of ../shared/reference."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from places import SHARED
from torch import Tensor

#: The published networks, and what each of them gives; no entries where the file is not here.
NETWORKS_FILE = SHARED / "reference/networks_reference.json"
NETWORK_ENTRIES: dict[str, dict[str, Any]] = (
    json.loads(NETWORKS_FILE.read_text()) if NETWORKS_FILE.is_file() else {}
)


def formula_weights(shapes: list[tuple[str, list[int]]]) -> dict[str, Tensor]:
    """A float32 tensor for each parameter, drawn from its name."""
    return {name: torch.from_numpy(_values(name, shape)) for name, shape in shapes}


def _values(name: str, shape: list[int]) -> npt.NDArray[np.float32]:
    count = math.prod(shape)
    u = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(count)
    if name.endswith("running_var"):
        values = 0.5 + u
    elif name.endswith("running_mean"):
        values = 0.2 * (u - 0.5)
    elif name.endswith("num_batches_tracked"):
        values = np.ones(count)
    elif len(shape) == 1:
        values = 0.5 + u if name.endswith("weight") else 0.2 * (u - 0.5)
    else:
        values = (u - 0.5) * 2 * math.sqrt(6 / (count / shape[0])) * 0.7
    return values.reshape(shape).astype(np.float32)


def formula_image(height: int, width: int) -> Tensor:
    """1 x 3 x H x W float64."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    channels = (
        np.sin(x / 7 + y / 11),
        np.cos(x / 5 - y / 13),
        np.sin(x * y / (height * width) * 17),
    )
    return torch.from_numpy(np.stack(channels)[None])
