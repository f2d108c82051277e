"""One graph that is always ready: run by the best backend so far, while a better one compiles."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from regseg_core.backends.base import COMPILING, Backend, Compiled, Job
from regseg_core.backends.child import ClosedError
from regseg_core.backends.eager import Eager
from regseg_core.backends.staging import Staged
from regseg_core.backends.store import EngineStore
from regseg_core.device import trim_memory

#: A graph is compiled once so many batches of frames have come: one picture is not worth it.
COMPILE_AFTER = 3

_LOG = logging.getLogger("regseg_core")


@dataclass
class Health:
    """State of a Segmenter's backends."""

    #: What segmented the last frame.
    backend: str = ""
    #: What runs each kind of frames: their size, encoding, batch and precision.
    running: dict[str, str] = field(default_factory=dict)
    #: What is being compiled just now.
    building: str | None = None
    #: Backends that cannot work here, with the reason.
    refused: dict[str, str] = field(default_factory=dict)
    #: What failed while compiling or running, oldest first.
    failures: list[str] = field(default_factory=list)


class Runner:
    """Runs one graph by the first of `backends` that works; the last one needs no compiling.

    After `COMPILE_AFTER` batches a better one compiles in another thread. One that fails while
    running is dropped, and the frames are given to the next.
    """

    def __init__(
        self, job: Job, backends: Sequence[Backend], health: Health, store: EngineStore
    ) -> None:
        self._job, self._health, self._store = job, health, store
        self._title = job.spec.title()
        # Counts without a lock, also for several threads.
        self._count = itertools.count()
        *self._untried, self._last_resort = backends
        self._last: Compiled | None = None
        self._better: tuple[str, Compiled] | None = None
        self._forgotten = False
        self._opening, self._building, self._dropping = (threading.Lock() for _ in range(3))

    @property
    def backend(self) -> str:
        """What runs it now."""
        better = self._better
        return self._last_resort.name if better is None else better[0]

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        """What Compiled does, from and to the host's memory. Raises what the last resort raises."""
        if next(self._count) == COMPILE_AFTER:
            self.build_better(wait=False)
        while (better := self._better) is not None:
            name, run = better
            try:
                planes = run(frames)
            except Exception as error:
                self._drop(better, error)
                continue
            self._note_running(name)
            if self._last is not None:
                self._free_last_resort()
            return planes
        run = self._open_last_resort()
        self._note_running(self._last_resort.name)
        return run(frames)

    def build_better(self, wait: bool) -> None:
        """Compiles the best backend that has not failed yet, and runs it from then on."""
        if wait:
            self._build()
        elif self._untried:
            threading.Thread(target=self._build, name="compiling", daemon=True).start()

    def forget(self) -> None:
        """Takes this graph out of what runs."""
        self._forgotten = True
        self._health.running.pop(self._title, None)

    def _build(self) -> None:
        with self._building:
            while self._untried and self._better is None and not self._forgotten:
                backend = self._untried.pop(0)
                title = self._titled(backend)
                try:
                    self._better = backend.name, self._open(backend)
                except ClosedError:
                    return
                except Exception as error:
                    self._note_failure(f"{title} could not be compiled: {error}")
                    continue
                _LOG.info("now running %s instead of %s", title, self._last_resort.name)
                return

    def _drop(self, failed: tuple[str, Compiled], error: Exception) -> None:
        with self._dropping:
            if self._better is failed:  # else another thread's frames have failed before
                self._note_failure(f"{failed[0]} failed on {self._title} and is dropped: {error}")
                self._better = None
                self.build_better(wait=False)

    def _open_last_resort(self) -> Compiled:
        with self._opening:
            if self._last is None:
                self._last = self._open(self._last_resort)
            return self._last

    def _free_last_resort(self) -> None:
        """A better backend delivers: what PyTorch has allocated is given back, not in a frame."""

        def free() -> None:
            with COMPILING:  # which it would disturb
                trim_memory()

        self._last = None
        threading.Thread(target=free, name="freeing", daemon=True).start()

    def _open(self, backend: Backend) -> Compiled:
        job = self._job
        if not isinstance(backend, Eager):  # which takes no time
            self._health.building = title = self._titled(backend)
            _LOG.info("loading %s", title)
        try:
            run = self._store.open(backend, job)
            return Staged(run, job.spec.shape, job.device) if job.device.type == "cuda" else run
        finally:
            if not isinstance(backend, Eager):
                self._health.building = None

    def _titled(self, backend: Backend) -> str:
        return f"{backend.name} for {self._title}"

    def _note_running(self, name: str) -> None:
        self._health.backend = name
        if not self._forgotten:
            self._health.running[self._title] = name

    def _note_failure(self, failure: str) -> None:
        self._health.failures.append(failure)
        _LOG.warning("%s", failure)
