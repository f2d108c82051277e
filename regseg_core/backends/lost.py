"""A GPU that has died while the process runs.

After an error in a kernel, or when the GPU falls off the bus, every later call to CUDA fails in
this process, and PyTorch has no way to begin again (pytorch/pytorch#17425, #44624, #28829). Its CPU
side works on.
"""

from __future__ import annotations

import torch

from regseg_core.backends.staging import undisturbed

#: What holds memory of a lost GPU. Freeing it calls CUDA, which may end the process.
_kept: list[object] = []


def is_lost(device: torch.device) -> bool:
    """Whether every call to that GPU fails from now on; waits for it.

    Missing memory, or a frame that failed, is no such thing. False where it cannot be asked just
    now: waiting for the GPU would spoil the recording of another thread.
    """
    if device.type != "cuda":
        return False
    with undisturbed() as alone:
        return alone and _fails(device) and _fails(device)


def keep(*things: object) -> None:
    """Has them live as long as the process."""
    _kept.extend(things)


def _fails(device: torch.device) -> bool:
    try:
        torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        return False
    except RuntimeError as error:  # of which torch.AcceleratorError is one
        return "captur" not in str(error)  # somebody else's recording, in this process
    return False
