"""OpenVINO: the fastest on CPUs by our measurement, and it needs no compiler."""

from __future__ import annotations

import logging
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regseg_core.backends.base import BackendError, Building, Compiled, Job
from regseg_core.backends.beside import Beside
from regseg_core.backends.rounding import round_to_bytes
from regseg_core.backends.spec import GraphSpec
from regseg_core.model import SegmentationNetwork
from regseg_core.precision import float_precision
from regseg_core.threads import wanted

#: What OpenVINO calls our precisions. Its CPU has no float16 arithmetic; int8 is in the graph.
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}

#: Of payloads; another one's are compiled again.
_FORM, _PARTS = "2", 4

_LOG = logging.getLogger("regseg_core")


class OpenVino:
    """OpenVINO on the CPU, in bfloat16 where the processor has it and in int8."""

    name = "openvino"

    def check(self, device: torch.device) -> None:
        if device.type != "cpu":
            raise BackendError(f"OpenVINO runs on the CPU here, not on {device}")
        _library()

    def made_by(self, device: torch.device) -> dict[str, str]:
        """Its engine fits every processor: on others than its own, loading compiles once more."""
        return {
            "backend": self.name,
            "torch": torch.__version__,
            "openvino": version("openvino"),
            "form": _FORM,
        }

    def payload(self, job: Job, how: Building) -> bytes:
        """OpenVINO's form of the graph, and what it makes of it for this processor.

        Four parts, the length of each in 8 bytes before it: the graph's XML and weights, the
        processor, and the compiled model, which loads five times as fast.
        """
        if how.gpus:
            raise BackendError("OpenVINO compiles for the CPU; --gpu is for TensorRT")
        if job.spec.precision not in (*_PRECISIONS, "int8"):
            raise BackendError("OpenVINO computes in float32, bfloat16 or int8 on a CPU")
        model, network = convert(job)
        if job.spec.precision == "int8":
            if job.calibration is None:
                raise BackendError("int8 needs a calibration of the weights; this job has none")
            round_to_bytes(model, network, job.calibration)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "graph.xml"
            _library().save_model(model, path, compress_to_fp16=False)
            xml, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
        ready = compile_model(model, job.spec).export_model()
        parts = (xml, weights, _processor().encode(), ready.getvalue())
        return b"".join(len(part).to_bytes(8, "little") + part for part in parts)

    def load(self, payload: bytes, job: Job, beside: Beside | None = None) -> Compiled:
        _, _, processor, ready = _parts(payload)
        if bytes(processor).decode() == _processor():
            core = _library().Core()
            try:
                return _running(core.import_model(bytes(ready), "CPU", _hints(job.spec)))
            except RuntimeError as error:  # what OpenVINO says of another build of itself
                _LOG.info("OpenVINO compiles the engine's graph again: %s", error)
        return compiled(graph_in(payload), job.spec)


def graph_in(payload: bytes) -> Any:
    """OpenVINO's form of the graph in a payload, which is not compiled yet."""
    xml, weights, *_ = _parts(payload)
    return _library().Core().read_model(model=bytes(xml), weights=bytes(weights))


def _parts(payload: bytes) -> list[memoryview]:
    parts, rest = [], memoryview(payload)
    while rest:
        length = int.from_bytes(rest[:8], "little")
        parts.append(rest[8 : 8 + length])
        rest = rest[8 + length :]
    if len(parts) != _PARTS or len(payload) != sum(8 + len(part) for part in parts):
        raise BackendError("this engine is of another form: compile it again")
    return parts


def convert(job: Job) -> tuple[Any, SegmentationNetwork]:
    """OpenVINO's form of a job's graph in float32, and the network that is in it."""
    graph = job.graph(torch.float32, banded=True)
    frames = torch.zeros(job.spec.shape, dtype=torch.uint8)
    with torch.no_grad():
        exported = torch.export.export(graph, (frames,))
    return _library().convert_model(exported), graph.network


def compiled(model: Any, spec: GraphSpec) -> Compiled:
    """OpenVINO's form of a graph, ready to run on this processor."""
    return _running(compile_model(model, spec))


def compile_model(model: Any, spec: GraphSpec, **more: object) -> Any:
    """OpenVINO's compiled model. `more`: properties of OpenVINO beside those of the spec."""
    # As it is converted the sizes are open, and some of them computed anew for each frame.
    model.reshape(list(spec.shape))
    return _library().Core().compile_model(model, "CPU", {**_hints(spec), **more})


def _hints(spec: GraphSpec) -> dict[str, str | int]:
    hints: dict[str, str | int] = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[float_precision(spec.precision)],
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads := wanted():  # it reads no variable of OpenMP's
        hints["INFERENCE_NUM_THREADS"] = threads
    return hints


def _processor() -> str:
    """The processor, and what it is fast at: a compiled model is for these."""
    core = _library().Core()
    name, abilities = (
        core.get_property("CPU", key) for key in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    )
    return f"{name}: {', '.join(abilities)}"


def _running(model: Any) -> Compiled:
    request = model.create_infer_request()
    count = len(model.outputs)
    # A request takes one frame at a time, and two would only share the cores.
    busy = threading.Lock()

    def run(frames: Tensor) -> tuple[Tensor, ...]:
        with busy:
            request.infer([frames.numpy()], share_inputs=True)
            # A copy: the request's own memory holds the next frame's result soon.
            return tuple(
                torch.from_numpy(np.array(request.get_output_tensor(index).data))
                for index in range(count)
            )

    return run


def _library() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise BackendError(f"pip install openvino ({error})") from error
    return openvino
