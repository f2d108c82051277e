"""All processes of a load, and measuring with them."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from regseg_ros.benchmark.figures import Figures, latencies, longest_gap, percentiles, rate_of
from regseg_ros.benchmark.load import BenchmarkError, Load
from regseg_ros.benchmark.talking import PATIENCE, Process
from regseg_ros.benchmark.watcher import Status, Watcher
from regseg_ros.demo import ROOT, private_environment, ros_arguments
from regseg_ros.transport import FAST_DDS_2, FAST_DDS_3

#: Seconds of the baseline, before the clock and after it.
CALLING = 1.0

#: Looks at a node that changes nothing any more, after which it stays so.
_STEADY = 2


class Stage:
    """A camera, a sink and, when they are started, the node and the Segmenter alone.

    `cache`: the folder of engines. `others`: heights and widths that the camera can send besides
    the load's. `listens`: whether there is a sink. Everything ends with the context.
    """

    def __init__(
        self,
        load: Load,
        cache: Path,
        others: Sequence[tuple[int, int]] = (),
        listens: bool = True,
    ) -> None:
        self.load, self._others, self._listens = load, others, listens
        self.environment = environment(load.profile, cache)
        self.nodes: list[Process] = []
        self.sink: Process | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        load = self.load
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            sizes = [(load.height, load.width), *self._others]
            self.camera = self._start(
                "camera",
                topics=load.camera_topics,
                sizes=sizes,
                encoding=load.encoding,
                transport=load.transport,
                data=load.data,
            )
            if self._listens:
                self.sink = self._start("sink", topics=load.mask_topics)
                self.sink.ask("take")
            self.camera.ask("subscribers")
            self._watcher = Watcher(self.environment, load.cameras)
            self._stack.callback(self._watcher.close)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_call(self) -> Process:
        """The Segmenter alone: ready, so that its engine is in the cache."""
        load = self.load
        process = self._start(
            "call",
            height=load.height,
            width=load.width,
            encoding=load.encoding,
            data=load.data,
            backend=load.backend,
            precision=load.precision,
        )
        self._backend = process.ask("describe")["backend"]
        return process

    def start_pieces(self) -> Process:
        """The node's pieces in its place."""
        load = self.load
        return self._start(
            "pieces",
            backend=load.backend,
            precision=load.precision,
            height=load.height,
            width=load.width,
        )

    def start_nodes(self) -> None:
        """Returns at once."""
        load = self.load
        values: dict[str, object] = {
            "backend": load.backend,
            "precision": load.precision,
            "image_transport": load.transport,
        }
        if load.cameras > 1 and not load.apart:
            values["cameras"] = load.names
        for name, topic in zip(load.names, load.camera_topics, strict=True):
            if load.apart or load.cameras == 1:
                values["image_topic"] = topic
            arguments = ["regseg_ros.segmenter", *ros_arguments(values)]
            if load.apart:
                arguments += ["-r", f"__ns:=/{name}"]
            log = self._folder / f"node{len(self.nodes)}.log"
            node = Process("node", arguments, self.environment, log, serves=False)
            self.nodes.append(self._stack.enter_context(node))
            if not load.apart:
                break

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Beside a program that keeps a core busy."""
        arguments = ["regseg_ros.benchmark.busy"]
        with Process("busy program", arguments, self.environment, self._folder / "busy.log"):
            yield

    def said(self) -> str:
        """What the nodes have logged."""
        return "".join(node.said() for node in self.nodes)

    def until_ready(self) -> None:
        """Sends until the node runs what the Segmenter alone does. Raises BenchmarkError."""
        self.until_heard()
        self.camera.ask("start", rate=self.load.rate)
        deadline, same, before = time.monotonic() + PATIENCE, 0, ""
        while same < _STEADY:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the node still runs {before} after {PATIENCE:g} s")
            statuses = self.look().values()
            now = " | ".join(f"{s['frames']}, compiling {s['compiling']}" for s in statuses)
            ready = all(
                f": {self._backend}" in status["frames"] and status["compiling"] == "nothing"
                for status in statuses
            )
            same = same + 1 if ready and now == before else 0
            before = now
        self.camera.ask("stop")

    def until_heard(self) -> None:
        """Waits until the node subscribes to the camera. Raises BenchmarkError."""
        deadline = time.monotonic() + PATIENCE
        while not self.camera.ask("subscribers"):
            self.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"no node has subscribed for {PATIENCE:g} s")
            time.sleep(0.1)

    def look(self) -> dict[str, Status]:
        """The next status of each camera. Raises BenchmarkError."""
        self.check()
        return self._watcher.look()

    def baseline(self, calls: Process) -> dict[str, list[float]]:
        """Milliseconds of each call of the Segmenter alone, and of each mask."""
        found: dict[str, list[float]] = calls.ask("measure", seconds=CALLING)
        return found

    def measure(self, calls: Process, rate: float | None = None) -> Figures:
        """The load for its seconds, at another rate where one is given; the baseline around it."""
        load, rate = self.load, rate or self.load.rate
        assert self.sink is not None
        before = self._settled()
        first = self.baseline(calls)
        self.sink.ask("take")
        processes = [self.camera, self.sink, *self.nodes]
        used = [process.processor_seconds for process in processes]
        started = time.monotonic()
        self.camera.ask("start", rate=rate)
        time.sleep(load.seconds)
        sent = [tuple(entry) for entry in self.camera.ask("stop")]
        seconds = time.monotonic() - started
        used = [p.processor_seconds - was for p, was in zip(processes, used, strict=True)]
        last = self.baseline(calls)
        after = self._settled()
        arrivals = [tuple(entry) for entry in self.sink.ask("take")]
        return _figures(
            (sent, arrivals, seconds),
            {name: after[name] - before[name] for name in after},
            {name: first[name] + last[name] for name in first},
            used,
            self.nodes,
            self._backend,
        )

    def _settled(self) -> dict[str, int]:
        """The counts of all cameras, once nothing is in work. Raises BenchmarkError."""
        deadline, before = time.monotonic() + PATIENCE, dict[str, int]()
        while True:
            statuses = self.look().values()
            counts = {
                name: sum(int(status[name]) for status in statuses)
                for name in ("received", "segmented", "dropped", "in work")
            }
            if counts == before and not counts["in work"]:
                return counts
            if time.monotonic() > deadline:
                raise BenchmarkError(
                    f"{counts['in work']} frames are in work after {PATIENCE:g} s without new ones"
                )
            before = counts

    def _start(self, module: str, **options: Any) -> Process:
        values = json.dumps(options["topics"] if module == "sink" else options)
        arguments = [f"regseg_ros.benchmark.{module}", values]
        log = self._folder / f"{module}.log"
        return self._stack.enter_context(Process(module, arguments, self.environment, log))

    def check(self) -> None:
        """Raises BenchmarkError where a node has ended."""
        for node in self.nodes:
            node.check()


def environment(profile: str, cache: Path) -> dict[str, str]:
    """Of all processes: DDS on this machine alone, with a profile or none; engines in `cache`."""
    found = {**private_environment(), "XDG_CACHE_HOME": str(cache)}
    for variable in (FAST_DDS_2, FAST_DDS_3):
        del found[variable]
        if profile != "none":
            found[variable] = str(ROOT / "config" / f"{profile}.xml")
    # A line begins with its time, in seconds as the stamps have it.
    return {**found, "RCUTILS_CONSOLE_OUTPUT_FORMAT": "{time} {severity} {message}"}


def _figures(
    frames: tuple[list[Any], list[Any], float],
    counts: dict[str, int],
    baseline: dict[str, list[float]],
    used: list[float],
    nodes: list[Process],
    backend: str,
) -> Figures:
    sent, arrivals, seconds = frames
    known = set(sent)
    arrivals = [entry for entry in arrivals if entry[:2] in known]
    p50, p95, p99 = percentiles(latencies(sent, arrivals))
    call, call_p95, _ = percentiles(baseline["call"])
    throughput = rate_of([came for *_, came in arrivals])
    memories = [node.memory for node in nodes]
    camera, sink, *node = used
    masks = max(1, len(arrivals))
    return Figures(
        sent=len(sent),
        received=counts["received"],
        masks=len(arrivals),
        dropped=counts["dropped"],
        lost=len(sent) - counts["received"],
        masks_lost=counts["segmented"] - len(arrivals),
        sending_rate=rate_of([stamp for _, stamp in sent]),
        throughput=throughput,
        p50=p50,
        p95=p95,
        p99=p99,
        gap=longest_gap(arrivals),
        call=call,
        call_p95=call_p95,
        mask=statistics.median(baseline["mask"]),
        beyond=p50 - call,
        share=throughput * call / 1e3,
        camera_cpu=1e3 * camera / max(1, len(sent)),
        node_cpu=1e3 * sum(node) / masks,
        sink_cpu=1e3 * sink / masks,
        cores=sum(node) / seconds,
        resident=sum(m.resident for m in memories),
        proportional=sum(m.proportional for m in memories),
        private=sum(m.private for m in memories),
        peak=max(m.peak for m in memories),
        backend=backend,
    )
