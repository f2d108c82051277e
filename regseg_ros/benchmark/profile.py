"""Where the time of one frame goes, from the camera's stamp to the mask in another process."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path

from regseg_ros.benchmark.figures import Figures
from regseg_ros.benchmark.load import BenchmarkError, Load
from regseg_ros.benchmark.operators import PARTS
from regseg_ros.benchmark.pieces import STEPS
from regseg_ros.benchmark.stage import Stage
from regseg_ros.benchmark.talking import Process

#: Rounds, and seconds of each.
_ROUNDS, _SECONDS = 3, 3.0

#: What is neither of PARTS nor of STEPS.
REST_OF_CALL, DELIVERY = "rest of the call", "deliver"

#: The pieces of a frame, in the order of its way.
PIECES = (
    *("receive", "hand over", "view"),
    *(*PARTS, REST_OF_CALL),
    *("colour", "message", "publish", DELIVERY),
)


def profile(load: Load, cache: Path) -> tuple[dict[str, float], Figures]:
    """Milliseconds of each of PIECES, medians of frames, and the whole node beside them.

    `receive` is from the stamp to the bytes: the camera's publishing, DDS and waking up. Frames
    come at a rate that leaves none waiting. Raises BenchmarkError.
    """
    with Stage(load, cache) as stage:
        calls = stage.start_call()
        stage.start_nodes()
        stage.until_ready()
        whole = stage.measure(calls)
    with Stage(load, cache) as stage:
        assert stage.sink is not None
        pieces = stage.start_pieces()
        found: dict[str, list[float]] = {name: [] for name in (*STEPS, DELIVERY)}
        for number in range(1 + _ROUNDS):
            marks, arrivals = _round(stage, pieces)
            if number:  # the first one warms up
                _note(marks, arrivals, found)
        operators = pieces.ask("operators")
    if not found["call"]:
        raise BenchmarkError("no frame came through: is the rate above what can be sustained?")
    medians = {name: statistics.median(values) for name, values in found.items()}
    return _summed(medians, *operators), whole


def _round(stage: Stage, pieces: Process) -> tuple[list[list[int]], dict[int, int]]:
    """Marks of the frames of one round, and when their masks came, by stamp."""
    assert stage.sink is not None
    stage.until_heard()
    time.sleep(0.3)
    for process in (pieces, stage.sink):
        process.ask("take")
    stage.camera.ask("start", rate=stage.load.rate)
    time.sleep(_SECONDS)
    stage.camera.ask("stop")
    time.sleep(0.5)
    return pieces.ask("take"), {stamp: came for _, stamp, came in stage.sink.ask("take")}


def _note(marks: list[list[int]], arrivals: dict[int, int], found: dict[str, list[float]]) -> None:
    for times in marks:
        spans = [1e-6 * (b - a) for a, b in itertools.pairwise(times)]
        for name, span in zip(STEPS, spans, strict=True):
            found[name].append(span)
        if (came := arrivals.get(times[0])) is not None:
            found[DELIVERY].append(1e-6 * (came - times[-1]))


def _summed(medians: dict[str, float], parts: dict[str, float], besides: float) -> dict[str, float]:
    """One number a piece."""
    # Its parts are of calls back to back, which are faster: they count by their shares.
    graph = medians["call"] - besides
    whole = sum(parts.values()) or 1.0
    pieces = {
        **{name: medians[name] for name in (*STEPS, DELIVERY) if name != "call"},
        **{name: graph * parts.get(name, 0.0) / whole for name in PARTS},
        REST_OF_CALL: besides if parts else graph,
    }
    return {name: pieces[name] for name in PIECES}
