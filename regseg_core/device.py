"""Which device runs the network, and in which precision it is fast there."""

from __future__ import annotations

import ctypes
import functools
import gc
import platform
from pathlib import Path

import torch

from regseg_core.errors import ArgumentError

#: GPUs that have died while this process ran, which no call to CUDA reaches any more.
lost_gpus: set[torch.device] = set()


def give_up(device: torch.device) -> None:
    """That GPU has died: from now on this process is without GPUs."""
    lost_gpus.add(device)


def has_gpu() -> bool:
    """Whether PyTorch has a GPU here, and none has died."""
    return not lost_gpus and torch.cuda.is_available()


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where PyTorch has one, else the CPU; cpu, cuda and cuda:N are PyTorch's.

    Raises ArgumentError for another name or a GPU that is not there.
    """
    if name == "auto":
        name = "cuda" if has_gpu() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ArgumentError(f"device {name!r}: give auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ArgumentError(f"device {name!r}: give auto, cpu, cuda or cuda:N")
    if device.type == "cpu":
        return device
    if not torch.cuda.is_available():
        raise ArgumentError(f"device {name!r}: PyTorch {torch.__version__} finds no GPU; give cpu")
    if lost_gpus:
        raise ArgumentError(f"device {name!r}: it has died; start the process again, or give cpu")
    if (device.index or 0) >= (count := torch.cuda.device_count()):
        raise ArgumentError(f"device {name!r}: there are {count} GPUs, from cuda:0 on")
    if device.index is None:
        # Other threads and processes have a current GPU of their own.
        return torch.device("cuda", torch.cuda.current_device())
    return device


def unused_gpu(devices: Path = Path("/dev")) -> str:
    """Why PyTorch does not use an NVIDIA GPU that is here; empty where it does, or none is.

    `devices`: where NVIDIA's driver puts its GPUs as files.
    """
    if torch.cuda.is_available() or not any(devices.glob("nvidia[0-9]*")):
        return ""
    if torch.version.cuda is None:
        return (
            f"there is an NVIDIA GPU, but PyTorch {torch.__version__} is built without CUDA:"
            " install a build with it"
        )
    return (
        f"there is an NVIDIA GPU, but PyTorch {torch.__version__} finds none: ask nvidia-smi for"
        " its driver, and look at CUDA_VISIBLE_DEVICES"
    )


def tune(device: torch.device) -> None:
    """Has cuDNN time its kernels once for each size and thread, for frames keep their size.

    For the whole process, and for good: what it has chosen counts only while this is set.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX-512 BF16, AMX or Arm's BF16)."""
    flags = set(_cpuinfo("flags", "Features").split())
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


@functools.cache
def has_fast_int8() -> bool:
    """Whether this processor sums products of bytes in one instruction, exactly (VNNI, AMX)."""
    flags = set(_cpuinfo("flags").split())
    return bool(flags & {"avx512_vnni", "avx_vnni", "amx_int8"})


@functools.cache
def device_title(device: torch.device) -> str:
    """What a person calls the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpuinfo('model name') or platform.machine()}, {torch.get_num_threads()} threads"


def _cpuinfo(*keys: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((ln.split(":", 1)[1].strip() for ln in lines if ln.split("\t")[0] in keys), "")


def keep_freed_memory() -> None:
    """Has the C library keep freed memory for the next tensor instead of giving it back.

    Each activation is some megabytes, which glibc maps and unmaps anew every time; keeping them
    made a training step on a CPU 1.4 times as fast. For programs of their own, not for imports.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        mmap_threshold, trim_threshold = -3, -1  # names in malloc.h
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)


def share_arenas() -> None:
    """Has the C library's threads allocate from two arenas, not from up to eight a processor.

    Threads that load networks come and go, and leave holes in the arena that each happens to get:
    a process that loaded OpenVINO's graphs again and again grew by 7 MB each time, and no more with
    two arenas. For programs that run for months.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        arena_max = -8  # its name in malloc.h
        libc.mallopt(arena_max, 2)


def release_memory() -> None:
    """Frees what only cycles keep alive, and gives back what freed tensors leave."""
    gc.collect()
    trim_memory()


def trim_memory() -> None:
    """Gives back what freed tensors leave: PyTorch's GPU cache, and the C library's heap."""
    if has_gpu():
        torch.cuda.empty_cache()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
