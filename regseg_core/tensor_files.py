"""Files of weights: the tensors of ours and of published ones, read without running anything."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from regseg_core.errors import WeightsError

#: What published files have their tensors in.
_WRAPPERS = ("model", "state_dict", "model_state")

#: Prefixes that wrappers put before parameter names: Lightning's task, DistributedDataParallel, a
#: model with its loss, of which the published files hold buffers too.
_PREFIXES = ("network.", "module.", "model.")
_LOSSES = ("loss.", "sem_loss.", "bd_loss.")

# What makes a number of NumPy, under its names up to NumPy 1 and since: published files often have
# their best score beside the tensors.
_SCALAR: Any = np.float64().__reduce__()[0]
_NUMBERS: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")),
]


def read_tensors(path: str | Path) -> dict[str, Any]:
    """What a safetensors file or a torch checkpoint holds, on the CPU, running none of it.

    Raises FileNotFoundError and WeightsError.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {str(path)!r}")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a whole safetensors file: {error}") from error
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader raise anything
        raise WeightsError(
            f"{path} is not a checkpoint of plain tensors (truncated, of another kind, or holding"
            f" code, which is never run): {_why(error)}"
        ) from error
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, not named tensors")
    return loaded


def _why(error: Exception) -> str:
    """What the reader says, but for PyTorch's advice to run what is in the file."""
    if isinstance(error, pickle.UnpicklingError):
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        return f"it asks for {wanted[1]}" if wanted else "it has more than they need"
    return str(error).partition("\n")[0] or repr(error)


def named_tensors(loaded: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of what `read_tensors` gave, by their names in the network.

    Those of each module may be in a mapping of their own. Raises WeightsError where there are none.
    """
    for wrapper in _WRAPPERS:
        if isinstance(inner := loaded.get(wrapper), Mapping):
            loaded = inner
    if all(isinstance(part, Mapping) for part in loaded.values()):
        loaded = {f"{name}.{n}": t for name, part in loaded.items() for n, t in part.items()}
    named = all(isinstance(n, str) and isinstance(t, Tensor) for n, t in loaded.items())
    if not loaded or not named:
        raise WeightsError("these weights hold no named tensors")
    while True:
        loaded = {name: t for name, t in loaded.items() if not name.startswith(_LOSSES)}
        common = (prefix for prefix in _PREFIXES if all(n.startswith(prefix) for n in loaded))
        if not loaded or (prefix := next(common, None)) is None:
            return loaded
        loaded = {name.removeprefix(prefix): t for name, t in loaded.items()}
