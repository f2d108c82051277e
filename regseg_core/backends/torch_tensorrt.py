"""Engines by Torch-TensorRT, on the machine with the GPU."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch.export import ExportedProgram

from regseg_core.backends.base import BackendError, Job
from regseg_core.backends.onnx import INPUT, OUTPUTS
from regseg_core.precision import PRECISIONS

#: Torch-TensorRT for each TensorRT: the name of its package.
PACKAGES = {"tensorrt_rtx": "torch-tensorrt-rtx", "tensorrt": "torch-tensorrt"}


def installed(library: str) -> str | None:
    """The version of Torch-TensorRT for that TensorRT, also where it cannot be imported."""
    try:
        return version(PACKAGES[library])
    except PackageNotFoundError:
        return None


def check_fits(library: str) -> None:
    """Raises BackendError where the Torch-TensorRT for that TensorRT is for another PyTorch."""
    name, its = PACKAGES[library], installed(library)
    if its is None:
        return
    ours = torch.__version__.partition("+")[0]
    wanted, here = (".".join(text.split(".")[:2]) for text in (its, ours))
    if wanted != here:
        raise BackendError(
            f"{name} {its} does not fit torch {ours}: install {name}=={here}.* or"
            f" torch=={wanted}.*, or uninstall {name}: TensorRT then compiles from ONNX"
        )


def exported(job: Job) -> tuple[ExportedProgram, torch.Tensor]:
    """The graph in the form that Torch-TensorRT converts whole, and frames of its shape."""
    graph = job.graph(PRECISIONS[job.spec.precision], wide=True)
    frames = torch.zeros(job.spec.shape, dtype=torch.uint8)
    with torch.no_grad():
        return torch.export.export(graph, (frames,)), frames


def settings(job: Job) -> dict[str, Any]:
    """How the graph is converted: as one engine, in the precision that it is written in."""
    return {
        "use_explicit_typing": True,
        "require_full_compilation": True,
        "min_block_size": 1,
        "arg_input_binding_names": (INPUT,),
        "output_binding_names": OUTPUTS[: 1 + job.spec.confidence],
    }


def engine(job: Job, library: str) -> bytes:
    """A serialised engine for that TensorRT, `tensorrt` or `tensorrt_rtx`.

    Raises BackendError where Torch-TensorRT cannot be imported or is for the other one, and with
    what it could not convert.
    """
    try:
        import torch_tensorrt
        from torch_tensorrt.dynamo import convert_exported_program_to_serialized_trt_engine as build
    except (ImportError, OSError) as error:
        raise BackendError(f"torch_tensorrt cannot be imported: {error}") from error
    # Up to 2.8 there is none for RTX, and no name to ask for.
    its = getattr(torch_tensorrt, "tensorrt_package_name", "tensorrt")
    if its != library:
        raise BackendError(f"torch_tensorrt builds for {its}, not for {library}")
    program, frames = exported(job)
    try:
        data: bytes = build(program, arg_inputs=(frames,), device=job.device, **settings(job))
    except Exception as error:
        raise BackendError(f"Torch-TensorRT: {error}") from error
    return data
