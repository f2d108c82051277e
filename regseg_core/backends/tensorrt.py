"""TensorRT: the whole graph as one engine, built also where there is no GPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from regseg_core.backends import torch_tensorrt
from regseg_core.backends.base import COMPILING, BackendError, Compiled, Job
from regseg_core.backends.onnx import INPUT, OUTPUTS, to_onnx
from regseg_core.device import device_title

_LOG = logging.getLogger("regseg_core")

#: TensorRT for RTX (desktop GPUs, from the Python package index) and TensorRT (Jetson, servers).
LIBRARIES = ("tensorrt_rtx", "tensorrt")


class TensorRt:
    """By the first of `libraries` that is installed."""

    name = "tensorrt"

    def __init__(self, libraries: Sequence[str] = LIBRARIES) -> None:
        self._libraries = tuple(libraries)

    def check(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise BackendError(f"TensorRT runs on a GPU, not on {device}")
        library(self._libraries)

    def made_by(self, device: torch.device) -> dict[str, str]:
        """An engine of TensorRT for RTX runs on every GPU of its targets, others on one model."""
        trt = library(self._libraries)
        bound = trt.__name__ != "tensorrt_rtx"
        return {
            "backend": self.name,
            "library": f"{trt.__name__} {trt.__version__}",
            "torch": torch.__version__.partition("+")[0],
            "torch_tensorrt": torch_tensorrt.installed(trt.__name__) or "none",
            "target": _capability(device) if bound else "any",
            "device": device_title(device) if bound else "any",
        }

    def payload(self, job: Job, gpus: tuple[str, ...] = ()) -> bytes:
        """A serialised engine. Precision is the graph's own: the network is strongly typed.

        Torch-TensorRT builds it where it is installed for this TensorRT and there is a GPU, else
        TensorRT from ONNX.
        Without `gpus`, for this machine's GPU, or with TensorRT for RTX for Ampere and later.
        Raises BackendError for an operator or target that this TensorRT does not have, and where
        Torch-TensorRT should build but is for another PyTorch.
        """
        trt = library(self._libraries)
        if job.device.type == "cuda" and not gpus and torch_tensorrt.installed(trt.__name__):
            torch_tensorrt.check_fits(trt.__name__)
            try:
                return torch_tensorrt.engine(job, trt.__name__)
            except BackendError as error:
                _LOG.warning("TensorRT compiles from ONNX instead: %s", error)
        logger = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(logger)
        network = parse(trt, logger, builder, to_onnx(job))
        config = builder.create_builder_config()
        _set_targets(trt, config, gpus)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise BackendError(
                f"{trt.__name__} {trt.__version__} built no engine; its log says why"
            )
        return bytes(engine)

    def load(self, payload: bytes, job: Job) -> Compiled:
        trt = library(self._libraries)
        with COMPILING, torch.cuda.device(job.device):
            return self._load(trt, payload, job)

    def _load(self, trt: Any, payload: bytes, job: Job) -> Compiled:
        runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = runtime.deserialize_cuda_engine(payload)
        if engine is None:
            raise BackendError(
                "the engine could not be loaded on this GPU; TensorRT's log says why"
            )
        spec = job.spec
        shape = (spec.batch, spec.height, spec.width)
        # Torch-TensorRT's engines give int32.
        dtypes = {trt.DataType.UINT8: torch.uint8, trt.DataType.INT32: torch.int32}
        outputs = {
            name: dtypes[engine.get_tensor_dtype(name)] for name in OUTPUTS[: 1 + spec.confidence]
        }
        #: One for each stream: two frames at once must not share one's memory.
        contexts: dict[int, Any] = {}

        def run(frames: Tensor) -> tuple[Tensor, ...]:
            stream = torch.cuda.current_stream(job.device).cuda_stream
            if stream not in contexts:
                contexts[stream] = engine.create_execution_context()
            context = contexts[stream]
            planes = [torch.empty(shape, dtype=t, device=job.device) for t in outputs.values()]
            context.set_tensor_address(INPUT, frames.data_ptr())
            for name, plane in zip(outputs, planes, strict=True):
                context.set_tensor_address(name, plane.data_ptr())
            if not context.execute_async_v3(stream):
                raise BackendError("TensorRT failed to run the engine; its log says why")
            return tuple(plane.to(torch.uint8) for plane in planes)

        # Kept alive as long as the function.
        run.runtime = runtime  # type: ignore[attr-defined]
        return run


def library(names: Sequence[str] = LIBRARIES) -> Any:
    """The first TensorRT's Python module that is installed. BackendError where there is none."""
    reasons = []
    for name in names:
        try:
            return import_module(name)
        except (ImportError, OSError) as error:
            reasons.append(f"{name}: {error}")
    raise BackendError(
        f"pip install tensorrt_rtx onnx onnxscript, or on a Jetson JetPack's tensorrt"
        f" ({'; '.join(reasons)})"
    )


def parse(trt: Any, logger: Any, builder: Any, onnx: bytes) -> Any:
    """TensorRT's network of an ONNX model, with every operator or BackendError."""
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise BackendError(f"TensorRT does not take the graph: {'; '.join(errors)}")
    return network


def _set_targets(trt: Any, config: Any, gpus: Sequence[str]) -> None:
    if not gpus:
        return
    if not hasattr(trt, "ComputeCapability"):
        raise BackendError("TensorRT builds for the GPU it runs on; --gpu is for TensorRT for RTX")
    known = {name: c for name, c in trt.ComputeCapability.__members__.items() if name[:2] == "SM"}
    config.num_compute_capabilities = len(gpus)
    for index, gpu in enumerate(gpus):
        capability = known.get(gpu.upper().replace("_", ""))
        if capability is None:
            names = ", ".join(f"sm_{name[2:]}" for name in known)
            raise BackendError(
                f"TensorRT for RTX {trt.__version__} builds for {names}, not for {gpu}; a Jetson"
                " compiles with its own TensorRT"
            )
        config.set_compute_capability(capability, index)


def _capability(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"
