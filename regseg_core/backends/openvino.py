"""OpenVINO: the fastest on CPUs by our measurement, and it needs no compiler."""

from __future__ import annotations

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
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVino:
    name = "openvino"

    def check(self, device: torch.device) -> None:
        if device.type != "cpu":
            raise BackendError(f"OpenVINO runs on the CPU here, not on {device}")
        _library()

    def made_by(self, device: torch.device) -> dict[str, str]:
        """Its engine fits every processor: OpenVINO compiles it further when it loads."""
        return {
            "backend": self.name,
            "torch": torch.__version__,
            "openvino": version("openvino"),
        }

    def payload(self, job: Job, how: Building) -> bytes:
        """OpenVINO's form of the graph: the length of its XML in 8 bytes, the XML, the weights."""
        if how.gpus:
            raise BackendError("OpenVINO compiles for the CPU; --gpu is for TensorRT")
        if job.spec.precision not in (*_HINTS, "int8"):
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
        return len(xml).to_bytes(8, "little") + xml + weights

    def load(self, payload: bytes, job: Job, beside: Beside | None = None) -> Compiled:
        end = 8 + int.from_bytes(payload[:8], "little")
        model = _library().Core().read_model(model=payload[8:end], weights=payload[end:])
        return compiled(model, job.spec)


def convert(job: Job) -> tuple[Any, SegmentationNetwork]:
    """OpenVINO's form of a job's graph in float32, and the network that is in it."""
    graph = job.graph(torch.float32)
    frames = torch.zeros(job.spec.shape, dtype=torch.uint8)
    with torch.no_grad():
        exported = torch.export.export(graph, (frames,))
    return _library().convert_model(exported), graph.network


def compiled(model: Any, spec: GraphSpec) -> Compiled:
    """OpenVINO's form of a graph, ready to run on this processor."""
    # As it is converted the sizes are open, and some of them computed anew for each frame.
    model.reshape(list(spec.shape))
    hints: dict[str, str | int] = {
        "INFERENCE_PRECISION_HINT": _HINTS[float_precision(spec.precision)],
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads := wanted():  # it reads no variable of OpenMP's
        hints["INFERENCE_NUM_THREADS"] = threads
    request = _library().Core().compile_model(model, "CPU", hints).create_infer_request()
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
