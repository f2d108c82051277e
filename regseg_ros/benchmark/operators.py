"""How OpenVINO's own clock divides a graph: what is before the network, it, and what is behind."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from regseg_core.arrays import Image
from regseg_core.backends.base import Building, Job
from regseg_core.backends.openvino import OpenVino, compile_model, graph_in

#: Of a graph, in their order.
PARTS = ("convert, normalise", "network", "upsampling, class, confidence")

_ROUNDS = 15


def operator_times(
    job: Job, frame: Image, call: Callable[[], object]
) -> tuple[dict[str, float], float]:
    """Milliseconds of each of PARTS for one frame, and what `call` takes around them; medians.

    `call`: the Segmenter's of that frame. Raises ImportError without OpenVINO.
    """
    import openvino

    model = graph_in(OpenVino().payload(job, Building()))
    request = compile_model(model, job.spec, PERF_COUNT=True).create_infer_request()
    rounds, besides = [], []
    for _ in range(_ROUNDS):
        request.infer([frame[None]], share_inputs=True)
        rounds.append(_divided(request.get_profiling_info()))
        with _inferring(openvino.InferRequest) as inferred:
            started = time.perf_counter()
            call()
            besides.append(1e3 * (time.perf_counter() - started - sum(inferred)))
    parts = {part: statistics.median(found[part] for found in rounds) for part in PARTS}
    return parts, statistics.median(besides)


@contextmanager
def _inferring(requests: Any) -> Iterator[list[float]]:
    """Seconds of each of OpenVINO's own calls meanwhile."""
    infer, found = requests.infer, list[float]()

    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return infer(*arguments, **options)
        finally:
            found.append(time.perf_counter() - started)

    with mock.patch.object(requests, "infer", timed):
        yield found


def _divided(operators: list[Any]) -> dict[str, float]:
    """Operators come in the order they run in; the network is from the first to the last conv."""
    convolutions = [i for i, o in enumerate(operators) if o.node_type == "Convolution"]
    first, last = convolutions[0], convolutions[-1]
    found = dict.fromkeys(PARTS, 0.0)
    for place, operator in enumerate(operators):
        if place < first:
            part = PARTS[0]
        elif place <= last:
            part = PARTS[1]
        else:
            part = PARTS[2]
        found[part] += 1e3 * operator.real_time.total_seconds()
    return found
