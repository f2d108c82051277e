"""Cases that are one load or a few."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

from regseg_ros.benchmark.bench import Bench
from regseg_ros.benchmark.figures import Figures
from regseg_ros.benchmark.rows import Aim, Row
from regseg_ros.benchmark.stage import Stage

#: Of 1 / call: the rates of a sweep.
_SHARES = (0.25, 0.5, 0.75, 0.9, 1.0, 1.2, 1.5, 2.0)
_MIB = 2**20 / 1e6


def given(bench: Bench) -> Iterator[Row]:
    """What the options say."""
    load = bench.load()
    yield Row.of("given", load.title(), bench.measure(load))


def latency(bench: Bench) -> Iterator[Row]:
    load = bench.load(height=480, width=640, rate=15.0, seconds=10.0)
    figures = bench.measure(load)
    aims = (
        Aim("p50 beyond the Segmenter call, ms", figures.beyond, 6.0),
        Aim("frames without a mask", figures.sent - figures.masks, 0.0),
    )
    yield Row.of("latency", load.title(), figures, aims)


def overload(bench: Bench) -> Iterator[Row]:
    load = bench.load(height=480, width=640)
    with Stage(load, bench.cache) as stage:
        calls = bench.ready(stage)
        call = statistics.median(stage.baseline(calls)["call"])
        load = replace(load, rate=round(2e3 / call, 1))
        figures = stage.measure(calls, load.rate)
    aims = (
        Aim("throughput as a share of 1 / call", figures.share, 0.9, at_least=True),
        Aim("p95 in calls", figures.p95 / figures.call, 2.5),
    )
    yield Row.of("overload", f"{load.title()}, twice 1 / call", figures, aims)


def memory(bench: Bench) -> Iterator[Row]:
    load = bench.load(height=512, width=1024, rate=5.0, seconds=10.0)
    figures = bench.measure(load)
    aims = (Aim("resident memory, MB", figures.resident * _MIB, 700.0),)
    yield Row.of("memory", f"{load.title()}, {figures.backend}", figures, aims)


def transport(bench: Bench) -> Iterator[Row]:
    for way in (
        {"profile": "fastdds"},
        {"profile": "none"},
        {"profile": "fastdds-large"},
        {"transport": "compressed"},
    ):
        load = bench.load(height=720, width=1280, rate=5.0, **way)
        yield Row.of("transport", load.title(), bench.measure(load))


def cameras(bench: Bench) -> Iterator[Row]:
    for apart, title in ((False, "one node"), (True, "a node each")):
        load = bench.load(height=240, width=320, rate=10.0, cameras=4, apart=apart)
        yield Row.of("cameras", f"{load.title()}, {title}", bench.measure(load))


def sweep(bench: Bench) -> Iterator[Row]:
    """Also draws, where plots are wanted."""
    load = bench.load(height=480, width=640, seconds=5.0)
    found: list[tuple[float, Figures]] = []
    with Stage(load, bench.cache) as stage:
        calls = bench.ready(stage)
        call = statistics.median(stage.baseline(calls)["call"])
        for rate in bench.rates or [round(share * 1e3 / call, 1) for share in _SHARES]:
            figures = stage.measure(calls, rate)
            found.append((rate, figures))
            yield Row.of("sweep", replace(load, rate=rate).title(), figures)
    if bench.folder is not None:
        from regseg_ros.benchmark.drawing import draw_sweep

        what = f"{load.width} x {load.height} {load.encoding}, {found[0][1].backend}"
        draw_sweep(found, f"The node, {what}\n{bench.machine}", bench.folder / "node-sweep.png")
