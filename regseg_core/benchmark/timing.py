"""How long calls take, by the GPU's clock and by the host's."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

Work = Callable[[], object]

#: Calls between two events of the GPU: one would be timed with its launch.
_REPLAYS = 20


def device_times(work: Work, device: torch.device, seconds: float) -> tuple[float, float]:
    """Median and 95th percentile in ms a call, by the device's own clock."""
    if device.type != "cuda":
        return host_times(work, seconds)
    for _ in range(3):
        work()

    def many() -> float:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        for _ in range(_REPLAYS):
            work()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last)) / _REPLAYS

    return _spread(many, seconds)


def host_times(work: Work, seconds: float) -> tuple[float, float]:
    """Median and 95th percentile in ms a call that is done when it returns."""
    for _ in range(3):
        work()

    def once() -> float:
        started = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - started)

    return _spread(once, seconds)


def waited(work: Work, device: torch.device) -> Work:
    """A call that is done when the device is."""

    def call() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return call


def at_once(work: Work, seconds: float, callers: int = 2) -> float:
    """Milliseconds a call when several threads call at once."""
    together = threading.Barrier(callers)

    def call(_: int) -> tuple[float, int]:
        for _ in range(5):  # each comes into a lane of its own, which is recorded
            together.wait(60)
            work()
        together.wait(60)
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds or done < 5:
            work()
            done += 1
        return time.perf_counter() - started, done

    with ThreadPoolExecutor(callers) as threads:
        rates = [done / elapsed for elapsed, done in threads.map(call, range(callers))]
    return 1e3 / sum(rates)


def _spread(measure: Callable[[], float], seconds: float) -> tuple[float, float]:
    found: list[float] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends or len(found) < 10:
        found.append(measure())
    return statistics.median(found), statistics.quantiles(found, n=20)[-1]
