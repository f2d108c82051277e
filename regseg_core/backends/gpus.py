"""Which TensorRT runs on which GPU: one table, which the README shows too."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """GPUs of some compute capabilities, the TensorRTs that run there, and how to get one."""

    gpus: str
    capabilities: tuple[str, ...]
    #: Python's names of the libraries, the one to prefer first.
    libraries: tuple[str, ...]
    install: str


#: TensorRT for RTX 1.6 holds kernels for 8.0 too, but NVIDIA supports it on desktop GPUs alone.
GPUS = (
    Row(
        "RTX 20 to 50 and desktop GPUs of their kind",
        ("7.5", "8.6", "8.9", "12.0", "12.1"),
        ("tensorrt_rtx", "tensorrt"),
        "pip install tensorrt_rtx onnx onnxscript",
    ),
    Row(
        "Jetson Orin (JetPack 6 and 7), Jetson Thor (JetPack 7)",
        ("8.7", "11.0"),
        ("tensorrt",),
        "sudo apt install python3-libnvinfer && pip install onnx onnxscript",
    ),
    Row(
        "A100, H100, H200, B200 and their kind",
        ("8.0", "9.0", "10.0", "10.3"),
        ("tensorrt",),
        "pip install tensorrt onnx onnxscript",
    ),
)

#: Older than this table, and newer: there TensorRT itself says whether it runs.
_OLDER = Row("older GPUs", (), (), "")
_NEWER = Row("newer GPUs", (), ("tensorrt", "tensorrt_rtx"), GPUS[2].install)
_OLDEST = (7, 5)

#: What TensorRT for RTX builds for when it is told nothing.
_DEFAULT = ("8.0", "8.6", "8.9", "12.0")


def capability(device: torch.device) -> str:
    """The compute capability of a GPU, such as `8.7`."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"{major}.{minor}"


def target(device: torch.device) -> str:
    """What compilers call a GPU's kind, such as `sm_87`."""
    return f"sm_{capability(device).replace('.', '')}"


def row_of(device: torch.device) -> Row:
    """The row that a GPU is in."""
    its = capability(device)
    beside = _OLDER if torch.cuda.get_device_capability(device) < _OLDEST else _NEWER
    return next((row for row in GPUS if its in row.capabilities), beside)


def beyond_default(device: torch.device) -> tuple[str, ...]:
    """The target to name to TensorRT for RTX, such as `sm_75`, where it would leave it out."""
    return () if capability(device) in _DEFAULT else (target(device),)
