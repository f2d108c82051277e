"""The bags of a fleet, labelled by several workers at once, on one machine or a cluster of Ray."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from regseg_core.bag.addresses import (
    Found,
    attempt,
    deliver,
    find_bags,
    is_finished,
    is_remote,
    local_copy,
)
from regseg_core.bag.label import Labelling, Report
from regseg_core.bag.parts import noted
from regseg_core.errors import ArgumentError, RegSegError, some_of
from regseg_core.files import write_bytes

#: A bag is given to so many workers. Where they die, it may be the bag that kills them.
_ATTEMPTS = 3

REPORT = "fleet.json"


@dataclass(frozen=True)
class BagReport:
    """What became of one bag."""

    bag: str
    frames: int = 0
    damaged: int = 0
    seconds: float = 0.0
    #: Why it could not be labelled, and what it lacks where it could; empty where all is well.
    failure: str = ""
    flaws: str = ""

    @property
    def title(self) -> str:
        """For people."""
        if self.failure:
            return f"{self.bag}: {self.failure}"
        done = f"{self.bag}: {self.frames} frames, {self.damaged} damaged, {self.seconds:.1f} s"
        return f"{done}: {self.flaws}" if self.flaws else done


@dataclass(frozen=True)
class Workers:
    """How many there are, and what each has. Raises ArgumentError."""

    count: int
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1 or self.cpus <= 0 or self.gpus < 0:
            raise ArgumentError("give at least one worker, and CPUs for each of them")


class Worker:
    """Labels one bag after the other with one network.

    `make` gives that labelling; `topics` as in `find_cameras`. Bags are written below `out`.
    """

    def __init__(self, make: Callable[[], Labelling], topics: Sequence[str], out: str) -> None:
        self._label, self._topics, self._out = make(), topics, out

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A bag as `Found`, in a dict -> its BagReport, in one."""
        bag, started = Found(**row), time.monotonic()
        try:
            with attempt(f"{self._out}/{bag.name}", _ATTEMPTS):
                report = self._labelled(bag)
        except (RegSegError, OSError) as error:
            return asdict(BagReport(bag.place, failure=str(error)))
        return asdict(_reported(bag, report, round(time.monotonic() - started, 1)))

    def _labelled(self, bag: Found) -> Report:
        place = f"{self._out}/{bag.name}"
        with tempfile.TemporaryDirectory() as folder:
            source = local_copy(bag.place, Path(folder) / "in")
            # What another worker has begun in a folder of this machine goes on.
            out = Path(folder) / "out" / source.stem if is_remote(place) else Path(place)
            report = self._label(source, out, self._topics, resume=True)
            if is_remote(place):
                deliver(out, place)
        return report


def _reported(bag: Found, report: Report, seconds: float) -> BagReport:
    flaws = some_of(report.flaws)
    return BagReport(bag.place, report.frames, report.damaged, seconds, flaws=flaws)


def label_fleet(
    pattern: str,
    out: str,
    make: Callable[[], Labelling],
    workers: Workers,
    topics: Sequence[str] = (),
    address: str = "local",
) -> list[BagReport]:
    """Labels all bags that a pattern fits; those whose labels are there already are left alone.

    `out`: a folder or an address, in which the bags lie as below the pattern. `address`: of a
    cluster of Ray, or local for one on this machine alone. Writes `fleet.json` into `out` where
    that is a folder. Raises BagError where no bag fits, and ArgumentError without Ray.
    """
    found = find_bags(pattern)
    done = [bag for bag in found if is_finished(f"{out}/{bag.name}")]
    reports = []
    for bag in done:
        print(f"{bag.place} is done already")
        notes = {} if is_remote(out) else noted(Path(out) / bag.name)
        reports.append(_reported(bag, Report(**notes), 0.0))
    todo = [bag for bag in found if bag not in done]
    for report in tqdm(_results(todo, out, make, workers, topics, address), "bags", len(todo)):
        tqdm.write(report.title)
        reports.append(report)
    if not is_remote(out):
        text = json.dumps([asdict(report) for report in reports], indent=1)
        write_bytes(Path(out) / REPORT, f"{text}\n".encode())
    return reports


def _results(
    bags: Sequence[Found],
    out: str,
    make: Callable[[], Labelling],
    workers: Workers,
    topics: Sequence[str],
    address: str,
) -> Iterator[BagReport]:
    if not bags:
        return
    ray = _ray(address, workers)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = ray.data.from_items([asdict(bag) for bag in bags], override_num_blocks=len(bags))
        results = rows.map(
            Worker,
            fn_constructor_args=(make, topics, out),
            compute=ray.data.ActorPoolStrategy(size=min(workers.count, len(bags))),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
        )
        yield from (BagReport(**row) for row in results.iter_rows())
    finally:
        ray.shutdown()


def _ray(address: str, workers: Workers) -> Any:
    # It would report its use to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ArgumentError(f'--ray needs Ray: pip install "ray[data]" ({error})') from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    start = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
    if address == "local":
        # For nobody but this machine.
        start(
            num_cpus=max(1, round(workers.count * workers.cpus)),
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
        )
    else:
        start(address)
    return ray
