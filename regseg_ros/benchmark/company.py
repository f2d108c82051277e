"""The node beside a program that keeps one core busy."""

from __future__ import annotations

from collections.abc import Iterator

from regseg_ros.benchmark.bench import Bench
from regseg_ros.benchmark.rows import Aim, Row
from regseg_ros.benchmark.stage import Stage


def company(bench: Bench) -> Iterator[Row]:
    for backend in ("eager", "openvino"):
        load = bench.load(height=480, width=640, backend=backend, seconds=10.0, rate=10.0)
        with Stage(load, bench.cache) as stage:
            calls = bench.ready(stage)
            alone = stage.measure(calls)
            with stage.busy():
                beside = stage.measure(calls)
        title = f"{load.title()}, {alone.backend}"
        yield Row.of("company", f"{title}, alone", alone)
        aims = (
            Aim("p50, times that alone", beside.p50 / alone.p50, 2.5),
            Aim("p99, times that alone", beside.p99 / alone.p99, 5.0),
        )
        yield Row.of("company", f"{title}, beside a busy program", beside, aims)
