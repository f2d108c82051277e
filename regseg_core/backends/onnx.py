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


def to_onnx(job: Job) -> bytes:
    """The graph of a job, in its precision and for its sizes alone.

    Raises BackendError where the exporter's libraries are missing.
    """
    spec = job.spec
    graph = job.graph(PRECISIONS[spec.precision].dtype)
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
