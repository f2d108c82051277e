"""The first minute: the first mask, and gaps when a backend or a size changes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regseg_ros.benchmark.bench import Bench
from regseg_ros.benchmark.figures import Arrival, longest_gap
from regseg_ros.benchmark.load import BenchmarkError
from regseg_ros.benchmark.rows import Aim, Row
from regseg_ros.benchmark.stage import Stage

#: Seconds that are looked at after a change, and before it.
_AROUND = 3.0
#: Seconds for a first mask, or for a better backend.
_LONGEST = 90.0

_TAKEN_OVER = re.compile(r"^(\d+\.\d+) INFO now running (\S+) for", re.MULTILINE)


@dataclass(frozen=True)
class _Times:
    """Of a node that was started: when (s), and what came by when."""

    started: float
    arrivals: Sequence[Arrival]
    #: When better backends began to run, in s.
    taken_over: Sequence[float]

    @property
    def first(self) -> float:
        """Seconds until the first mask."""
        return self.arrivals[0][2] * 1e-9 - self.started

    def gap(self, since: float, until: float) -> float:
        """Milliseconds between two masks at the most, from the last before `since` on."""
        before = [a for a in self.arrivals if a[2] * 1e-9 < since][-1:]
        return longest_gap([*before, *(a for a in self.arrivals if since <= a[2] * 1e-9 <= until)])


def first(bench: Bench) -> Iterator[Row]:
    cache = bench.new_cache()
    for state in ("cold", "warm"):
        load = bench.load(height=480, width=640, rate=15.0)
        with Stage(load, cache) as stage:
            times = _start(stage)
        better = times.taken_over[0] - times.started
        aims = (
            Aim(f"first mask, {state} cache, s", times.first, 6.0),
            Aim(f"better backend, {state} cache, s", better, 30.0),
        )
        values = {"first mask (s)": times.first, "better backend (s)": better}
        yield Row("first", f"{load.title()}, {state} cache", values, aims)


def gap(bench: Bench) -> Iterator[Row]:
    load = bench.load(height=480, width=640, rate=15.0)
    # Even: some encodings have no other.
    other = load.height * 3 // 4 & ~1, load.width * 3 // 4 & ~1
    with Stage(load, bench.new_cache(), [other]) as stage:
        times = _start(stage)
        took = times.taken_over[0]
        gaps = {
            "while compiling": times.gap(times.arrivals[0][2] * 1e-9 + 1, took - _AROUND),
            "take-over": times.gap(took - _AROUND, took + _AROUND),
        }
        changed = time.time()
        stage.camera.ask("start", rate=load.rate, size=1)
        times = _wait(stage, times, changes=2)
        took = times.taken_over[1]
        gaps["another size"] = times.gap(changed, changed + _AROUND)
        gaps["its take-over"] = times.gap(took - _AROUND, took + _AROUND)
    periods = {name: value * load.rate * 1e-3 for name, value in gaps.items()}
    values = {f"{name} (ms)": value for name, value in gaps.items()}
    aims = [
        Aim(f"gap in frame periods, {name}", periods[name], 2.0)
        for name in ("take-over", "another size", "its take-over")
    ]
    yield Row("gap", f"{load.title()}, then {other[1]} x {other[0]}", values, aims)


def _start(stage: Stage) -> _Times:
    """Starts a node beside a camera that sends already, and waits for its better backend."""
    if stage.load.backend != "auto":
        raise BenchmarkError("nothing takes over where a backend is named: leave --backend out")
    stage.camera.ask("start", rate=stage.load.rate)
    started = time.time()
    stage.start_nodes()
    return _wait(stage, _Times(started, [], []), changes=1)


def _wait(stage: Stage, times: _Times, changes: int) -> _Times:
    """Until masks come, and so many better backends have run for a while."""
    assert stage.sink is not None
    arrivals, deadline = list(times.arrivals), time.time() + _LONGEST
    while True:
        time.sleep(0.5)
        stage.check()
        arrivals += [tuple(entry) for entry in stage.sink.ask("take")]
        taken_over = [float(found[1]) for found in _TAKEN_OVER.finditer(stage.said())]
        ran = len(taken_over) >= changes and time.time() > taken_over[changes - 1] + _AROUND + 0.5
        if arrivals and ran:
            return _Times(times.started, arrivals, taken_over)
        if time.time() > deadline:
            raise BenchmarkError(
                f"{len(arrivals)} masks and {len(taken_over)} of {changes} better backends came in"
                f" {_LONGEST:g} s"
            )
