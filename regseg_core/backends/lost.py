"""A GPU that has died while the process runs.

After an error in a kernel, or when the GPU falls off the bus, every later call to CUDA fails in
this process, and PyTorch has no way to begin again (pytorch/pytorch#17425, #44624, #28829). Its CPU
side works on.
"""

from __future__ import annotations

import torch

#: What holds memory of a lost GPU. Freeing it calls CUDA, which may end the process.
_kept: list[object] = []


def is_lost(device: torch.device) -> bool:
    """Whether every call to that GPU fails from now on.

    Missing memory, or a frame that failed, is no such thing.
    """
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:  # of which torch.AcceleratorError is one
        return True
    return False


def keep(*things: object) -> None:
    """Has them live as long as the process."""
    _kept.extend(things)
