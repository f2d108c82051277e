"""The graph as ONNX, which TensorRT's own parser reads."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

import torch

from regseg_core.backends.base import BackendError, Job
from regseg_core.precision import PRECISIONS

INPUT, OUTPUTS = "frames", ("labels", "confidence")


#: The exporter's present libraries need this PyTorch or a later one.
_EXPORTED_SINCE = (2, 7)


def major_minor(version: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    return tuple(int(part) for part in version.split(".")[:2])


def to_onnx(job: Job, wide: bool = False) -> bytes:
    """The graph of a job, in its precision and for its sizes alone; `wide`: labels as int32.

    Raises BackendError where the exporter's libraries are missing, or PyTorch is too old for them.
    """
    if major_minor(torch.__version__) < _EXPORTED_SINCE:
        raise BackendError(f"ONNX export needs torch 2.7 or later, not {torch.__version__}")
    spec = job.spec
    graph = job.graph(PRECISIONS[spec.precision], wide)
    frames = torch.zeros(spec.shape, dtype=torch.uint8)
    # The exporter prints, and warns of operators that it could have exported too.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph,
                (frames,),
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=list(OUTPUTS[: 1 + spec.confidence]),
            )
    except ImportError as error:
        raise BackendError(f"pip install onnx onnxscript ({error})") from error
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data
