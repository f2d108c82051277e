"""The bags of a fleet, labelled by several workers at once, on one machine or a cluster of Ray."""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from regseg_core.bag.addresses import (
    Found,
    attempt,
    deliver,
    find_bags,
    is_finished,
    is_remote,
    joined,
    journal_of,
    local_copy,
    write,
)
from regseg_core.bag.label import Labelling, Report
from regseg_core.bag.parts import refuse_others
from regseg_core.errors import ArgumentError, RegSegError, some_of

#: A bag is given to so many workers. Where they die, it may be the bag that kills them.
_ATTEMPTS = 3

REPORT = "fleet.json"

_log = logging.getLogger(__name__)


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
    #: The machine and process that labelled it; empty where another run did.
    worker: str = ""

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

    count: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1 or not (self.cpus > 0 and self.gpus >= 0):
            raise ArgumentError("give at least one worker, and CPUs for each of them")
        if self.gpus > 1 and self.gpus % 1:
            raise ArgumentError("give each worker whole GPUs, or a part of one")

    def room(self, cpus: float, gpus: float) -> int:
        """How many of them a machine with that has room for."""
        room = cpus / self.cpus if not self.gpus else min(cpus / self.cpus, gpus / self.gpus)
        return math.floor(room + 1e-6)  # three tenths are less than three times a tenth


class Worker:
    """Labels one bag after the other with one network.

    `make` gives that labelling; `topics` as in `find_cameras`. Bags are written below `out`. `run`:
    an id that all workers of one `label_fleet` share.
    """

    def __init__(
        self, make: Callable[[], Labelling], topics: Sequence[str], out: str, run: str
    ) -> None:
        self._label, self._topics, self._out, self._run = make(), topics, out, run
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A bag as `Found`, in a dict -> its BagReport, in one."""
        bag, started = Found(**row), time.monotonic()
        try:
            with attempt(joined(self._out, bag.name), _ATTEMPTS, self._run, self._name):
                report = self._labelled(bag)
        except (RegSegError, OSError) as error:
            return asdict(BagReport(bag.place, failure=str(error), worker=self._name))
        except Exception as error:  # a bug or a full memory: the other bags are to be labelled
            _log.exception("%s cannot be labelled", bag.place)
            failure = f"{type(error).__name__}: {error}"
            return asdict(BagReport(bag.place, failure=failure, worker=self._name))
        return asdict(_reported(bag, report, round(time.monotonic() - started, 1), self._name))

    def _labelled(self, bag: Found) -> Report:
        place = joined(self._out, bag.name)
        with tempfile.TemporaryDirectory() as folder:
            source = local_copy(bag.place, Path(folder) / "in")
            # What another worker has begun in a folder of this machine goes on.
            out = Path(folder) / "out" / source.stem if is_remote(place) else Path(place)
            report = self._label(source, out, self._topics, resume=True)
            if is_remote(place):
                deliver(out, place)
        return report


def _reported(bag: Found, report: Report, seconds: float, worker: str) -> BagReport:
    flaws = some_of(report.flaws)
    return BagReport(bag.place, report.frames, report.damaged, seconds, flaws=flaws, worker=worker)


def label_fleet(
    pattern: str,
    out: str,
    make: Callable[[], Labelling],
    workers: Workers,
    topics: Sequence[str] = (),
    address: str = "local",
    asked: Mapping[str, Any] | None = None,
) -> list[BagReport]:
    """Labels all bags that a pattern fits; those whose labels are there already are left alone.

    `out`: a folder or an address, in which the bags lie as below the pattern. `address`: of a
    cluster of Ray, or local for one on this machine alone. `asked`: what bags that are there have
    to be made with, of what `Labelling` notes. Writes `fleet.json` into `out`, whatever ends it.
    Raises BagError where no bag fits or one was made otherwise, ArgumentError without Ray or room
    for the workers, and OSError.
    """
    if not is_remote(out):
        out = str(Path(out).absolute())  # workers run elsewhere
    found = find_bags(pattern, out)
    places = {bag: joined(out, bag.name) for bag in found}
    done = {bag: journal_of(place) for bag, place in places.items() if is_finished(place)}
    for bag, journal in done.items():
        refuse_others(places[bag], journal, asked or {})
    todo = [bag for bag in found if bag not in done]
    reports = []
    try:
        for bag in found:
            if bag in done:
                print(f"{bag.place} is done already")
                reports.append(_reported(bag, Report(**done[bag]["notes"]), 0.0, ""))
        for report in tqdm(_results(todo, out, make, workers, topics, address), "bags", len(todo)):
            tqdm.write(report.title)
            reports.append(report)
    finally:
        if reports:
            text = json.dumps([asdict(report) for report in reports], indent=1)
            write(joined(out, REPORT), f"{text}\n".encode())
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
    workers = replace(workers, count=min(workers.count, len(bags)))
    ray = _ray(address, workers)
    try:
        _check_room(ray.nodes(), workers)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = ray.data.from_items([asdict(bag) for bag in bags], override_num_blocks=len(bags))
        results = rows.map(
            Worker,
            fn_constructor_args=(make, topics, out, uuid.uuid4().hex),
            # A bag that waits for a busy worker could not go to an idle one.
            compute=ray.data.ActorPoolStrategy(size=workers.count, max_tasks_in_flight_per_actor=1),
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
        raise ArgumentError(f'--ray needs Ray: pip install ".[fleet]" ({error})') from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    start = partial(ray.init, address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        if address == "local":
            # For nobody but this machine.
            start(
                num_cpus=math.ceil(workers.count * workers.cpus),
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
            )
        else:
            _check_answers(address)
            start()
    except (ValueError, OSError, RuntimeError, ray.exceptions.RayError) as error:
        why = " ".join(str(error).split())
        raise ArgumentError(f"no cluster of Ray at {address}: {why}") from error
    return ray


def _check_answers(address: str) -> None:
    """Raises OSError where nobody does: Ray would ask for more than a minute."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), timeout=10).close()


def _check_room(machines: Sequence[dict[str, Any]], workers: Workers) -> None:
    """Raises ArgumentError where Ray would wait for ever for machines that are not there."""
    has = [machine["Resources"] for machine in machines if machine["Alive"]]
    room = sum(workers.room(one.get("CPU", 0), one.get("GPU", 0)) for one in has)
    if room < workers.count:
        cpus, gpus = (sum(one.get(kind, 0) for one in has) for kind in ("CPU", "GPU"))
        raise ArgumentError(
            f"no room for {workers.count} workers with {workers.cpus:g} CPUs and"
            f" {workers.gpus:g} GPUs each, only for {room}: Ray has {len(has)} machines with"
            f" {cpus:g} CPUs and {gpus:g} GPUs; give other --workers, --cpus or --gpus"
        )
