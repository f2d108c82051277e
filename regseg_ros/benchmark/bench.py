"""What all cases have in common."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regseg_ros.benchmark.figures import Figures
from regseg_ros.benchmark.load import Load
from regseg_ros.benchmark.rows import Row
from regseg_ros.benchmark.stage import Stage
from regseg_ros.benchmark.talking import Process


@dataclass
class Bench:
    """What was asked for, and where things are kept meanwhile."""

    #: Fields of Load that were given: they replace those of every case.
    given: Mapping[str, Any]
    #: Frames a second of a sweep; None: shares of 1 / call.
    rates: list[float] | None
    #: For plots; None: none are drawn.
    folder: Path | None
    machine: str

    def __enter__(self) -> Bench:
        self._stack = ExitStack()
        self.cache = self.new_cache()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def load(self, **fields: Any) -> Load:
        """Of a case. Raises BenchmarkError."""
        return Load(**{**fields, **self.given})

    def new_cache(self) -> Path:
        """An empty folder of engines; `cache` is the one that cases share."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory()))

    def measure(self, load: Load) -> Figures:
        """One load, with a node that is ready. Raises BenchmarkError."""
        with Stage(load, self.cache) as stage:
            return stage.measure(self.ready(stage))

    def ready(self, stage: Stage) -> Process:
        """Starts the node, and waits until it runs what it will; returns the Segmenter alone."""
        calls = stage.start_call()
        stage.start_nodes()
        stage.until_ready()
        return calls


@dataclass(frozen=True)
class Case:
    """One question; `run` yields what it finds, a row at a time."""

    question: str
    run: Callable[[Bench], Iterator[Row]]
