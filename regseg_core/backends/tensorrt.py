"""TensorRT: the whole graph as one engine, built also where there is no GPU."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from regseg_core.backends import torch_tensorrt
from regseg_core.backends.base import COMPILING, BackendError, Building, Compiled, Job
from regseg_core.backends.beside import Beside
from regseg_core.backends.cache import TIMINGS
from regseg_core.backends.gpus import beyond_default, capability, row_of, target
from regseg_core.backends.onnx import major_minor, to_onnx
from regseg_core.backends.tensorrt_engine import Engine
from regseg_core.device import device_title
from regseg_core.files import FileError, write_bytes

_LOG = logging.getLogger("regseg_core")

#: TensorRT for RTX (desktop GPUs, from the Python package index) and TensorRT (Jetson, servers).
LIBRARIES = ("tensorrt_rtx", "tensorrt")

#: Torch-TensorRT's converters need this TensorRT or a later one; JetPack 6 has 10.3.
_CONVERTED_SINCE = (10, 7)

#: Before this one it is not known whether TensorRT casts whole numbers to uint8; for RTX always.
_CASTS_SINCE = (10, 7)

#: TensorRT's effort, of 0 to 5: what it tries while a robot waits, and when it is asked ahead.
_LIVE, _THOROUGH = 3, 5


class RefusedGraphError(BackendError):
    """A TensorRT that does not take the graph as it is."""


class TensorRt:
    """By the first of `libraries` that is installed and runs on the GPU."""

    name = "tensorrt"

    def __init__(self, libraries: Sequence[str] = LIBRARIES) -> None:
        self._libraries = tuple(libraries)

    def check(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise BackendError(f"TensorRT runs on a GPU, not on {device}")
        self._library(device)

    def made_by(self, device: torch.device) -> dict[str, str]:
        """An engine of TensorRT for RTX runs on every GPU of its targets, others on one model."""
        trt = self._library(device)
        bound = trt.__name__ != "tensorrt_rtx"
        return {
            "backend": self.name,
            "library": f"{trt.__name__} {trt.__version__}",
            "torch": torch.__version__.partition("+")[0],
            "torch_tensorrt": torch_tensorrt.installed(trt.__name__) or "none",
            "target": target(device) if bound else "any",
            "device": device_title(device) if bound else "any",
        }

    def payload(self, job: Job, how: Building) -> bytes:
        """A serialised engine. Precision is the graph's own: the network is strongly typed.

        Torch-TensorRT builds it where it is installed for this TensorRT and there is a GPU, else
        TensorRT from ONNX. Without `gpus`, for this machine's GPU, or with TensorRT for RTX for
        8.0, 8.6, 8.9 and 12.0, which is what it takes for granted. Raises BackendError for an
        operator or target that this TensorRT does not have, and where Torch-TensorRT should build
        but is for another PyTorch.
        """
        trt = self._library(job.device)
        if job.device.type == "cuda" and not how.gpus and _converts(trt):
            torch_tensorrt.check_fits(trt.__name__)
            try:
                return torch_tensorrt.engine(job, trt.__name__)
            except BackendError as error:
                _LOG.warning("TensorRT compiles from ONNX instead: %s", error)
        if job.device.type == "cuda" and not how.gpus and trt.__name__ == "tensorrt_rtx":
            how = replace(how, gpus=beyond_default(job.device))
        timings = self._timings(job, how, trt)
        onnx = to_onnx(job)
        try:
            return build(trt, onnx, how, timings)
        except RefusedGraphError as error:
            # TensorRT 10.3 may not cast whole numbers to uint8.
            _LOG.warning("labels leave TensorRT as int32: %s", error)
            return build(trt, to_onnx(job, wide=True), how, timings)

    def load(self, payload: bytes, job: Job, beside: Beside | None = None) -> Compiled:
        with COMPILING, torch.cuda.device(job.device):
            return Engine(self._library(job.device), payload, job, beside)

    def _library(self, device: torch.device) -> Any:
        """The module for a GPU; without one, the first that is installed. Raises BackendError."""
        if device.type != "cuda":
            return library(self._libraries)
        row = row_of(device)
        usable = [name for name in row.libraries if name in self._libraries]
        title = f"{device_title(device)} (compute capability {capability(device)})"
        if not row.libraries:
            raise BackendError(f"no TensorRT that is known here runs on {title}")
        if not usable:
            raise BackendError(
                f"{' and '.join(self._libraries)} does not run on {title}: {row.install}"
            )
        try:
            return library(usable)
        except BackendError as error:
            raise BackendError(f"for {title}: {row.install} ({error})") from error

    def _timings(self, job: Job, how: Building, trt: Any) -> Path | None:
        """The file of kernels' timings on this GPU by this TensorRT; for RTX it has none.

        Those taken while a robot works are noisy, so that they are not for what is thorough.
        """
        if how.folder is None or trt.__name__ == "tensorrt_rtx":
            return None
        made_by = self.made_by(job.device)
        about = " ".join(made_by[name] for name in ("library", "target", "device"))
        about += " thorough" if how.thorough else " live"
        return how.folder / f"{hashlib.sha256(about.encode()).hexdigest()}{TIMINGS}"


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


def build(trt: Any, onnx: bytes, how: Building, timings: Path | None = None) -> bytes:
    """The engine of an ONNX model. `timings`: a file of kernels' timings, read and written.

    Raises BackendError.
    """
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = parse(trt, logger, builder, onnx)
    config = builder.create_builder_config()
    config.builder_optimization_level = _THOROUGH if how.thorough else _LIVE
    # TensorRT for RTX: else no CUDA graph can be recorded of it.
    if (flag := getattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)) is not None:
        config.set_flag(flag)
    _set_targets(trt, config, how.gpus)
    _use_timings(config, timings)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        kind = BackendError if _is_since(trt, _CASTS_SINCE) else RefusedGraphError
        raise kind(f"{trt.__name__} {trt.__version__} built no engine; its log says why")
    _keep_timings(config, timings)
    return bytes(engine)


def parse(trt: Any, logger: Any, builder: Any, onnx: bytes) -> Any:
    """TensorRT's network of an ONNX model, with every operator or BackendError."""
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise RefusedGraphError(f"TensorRT does not take the graph: {'; '.join(errors)}")
    return network


def _converts(trt: Any) -> bool:
    """Whether a Torch-TensorRT is there that knows this TensorRT."""
    if torch_tensorrt.installed(trt.__name__) is None:
        return False
    return _is_since(trt, _CONVERTED_SINCE)


def _is_since(trt: Any, version: tuple[int, int]) -> bool:
    """Whether it is that version of TensorRT or a later one; one for RTX is later than all."""
    return trt.__name__ == "tensorrt_rtx" or major_minor(trt.__version__) >= version


def _use_timings(config: Any, path: Path | None) -> None:
    if path is None:
        return
    try:
        kept = path.read_bytes()
    except OSError:
        kept = b""
    # Timings of another GPU or TensorRT, or damaged ones, are not taken: then without.
    for data in (kept, b""):
        timings = config.create_timing_cache(data)
        if timings is not None and config.set_timing_cache(timings, False):
            return


def _keep_timings(config: Any, path: Path | None) -> None:
    if path is None or (timings := config.get_timing_cache()) is None:
        return
    try:
        write_bytes(path, bytes(timings.serialize()))
    except FileError as error:
        _LOG.warning("TensorRT's timings are not kept: %s", error)


def _set_targets(trt: Any, config: Any, gpus: Sequence[str]) -> None:
    if not gpus:
        return
    if not hasattr(trt, "ComputeCapability"):
        raise BackendError("TensorRT builds for the GPU it runs on; --gpu is for TensorRT for RTX")
    known = {name: c for name, c in trt.ComputeCapability.__members__.items() if name[:2] == "SM"}
    config.num_compute_capabilities = len(gpus)
    for index, gpu in enumerate(gpus):
        its = known.get(gpu.upper().replace("_", ""))
        if its is None:
            names = ", ".join(f"sm_{name[2:]}" for name in known)
            raise BackendError(
                f"TensorRT for RTX {trt.__version__} builds for {names}, not for {gpu}; a Jetson"
                " compiles with its own TensorRT"
            )
        config.set_compute_capability(its, index)
