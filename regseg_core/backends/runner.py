"""One graph that is always ready: run by the best backend so far, while a better one compiles."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from regseg_core.backends.base import (
    COMPILING,
    Backend,
    BackendError,
    Compiled,
    CompilingError,
    Job,
)
from regseg_core.backends.breaker import Breaker
from regseg_core.backends.child import ClosedError
from regseg_core.backends.eager import Eager
from regseg_core.backends.health import Health
from regseg_core.backends.staging import Staged
from regseg_core.backends.store import EngineStore
from regseg_core.device import trim_memory

_LOG = logging.getLogger("regseg_core")


@dataclass(eq=False)
class _Better:
    name: str
    run: Compiled
    breaker: Breaker = field(default_factory=Breaker)
    failures: list[str] = field(default_factory=list)


class Runner:
    """Runs one graph by the first of `backends` that is open, else by the last one.

    The last one is opened by the first frame that needs it, which waits; where it needs compiling
    and `wait` is false, that frame raises CompilingError until `prepare` was called. One of the
    others that fails while running rests and is tried again, and the frame is given to the last; in
    the end it is dropped.
    """

    def __init__(
        self,
        job: Job,
        backends: Sequence[Backend],
        health: Health,
        store: EngineStore,
        wait: bool = True,
    ) -> None:
        self._job, self._health, self._store, self._wait = job, health, store, wait
        self._title = job.spec.title()
        *self._candidates, self._last_resort = backends
        #: Whether frames can be segmented before anything is compiled.
        self.at_once = isinstance(self._last_resort, Eager)
        self._better: _Better | None = None
        self._last: Compiled | None = None
        #: Why backends are not tried again, by their names.
        self._failed: dict[str, str] = {}
        self._opening, self._preparing, self._failing = (threading.Lock() for _ in range(3))

    @property
    def backend(self) -> str:
        """What runs it now."""
        better = self._better
        return self._last_resort.name if better is None else better.name

    @property
    def ready(self) -> bool:
        """Whether it holds something that was compiled."""
        return self._better is not None or (self._last is not None and not self.at_once)

    @property
    def unfinished(self) -> bool:
        """Whether `prepare` has something to do."""
        return self._next() is not None

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        """What Compiled does, from and to the host's memory.

        Raises what the last backend raises, CompilingError, and BackendError where nothing is left
        that could be compiled.
        """
        better = self._better
        if better is not None and better.breaker.allows():
            try:
                planes = better.run(frames)
            except Exception as error:
                self._note_failed_run(better, error)
            else:
                if better.breaker.succeeded():
                    self._health.forgive(better.failures)
                self._health.note_running(self._title, better.name)
                if self._last is not None:
                    self._free_last_resort()
                return planes
        planes = self._open_last_resort()(frames)
        self._health.note_running(self._title, self._last_resort.name)
        return planes

    def prepare(self) -> None:
        """Opens the first backend that has not failed, in this thread, and runs it from then on.

        Raises BackendError where then nothing can segment these frames.
        """
        with self._preparing:
            try:
                while (backend := self._next()) is not None:
                    self._try(backend)
            except ClosedError:
                if not self.at_once:
                    raise
            if not (self.at_once or self.ready):
                raise self._failure()

    def release(self) -> None:
        """Lets go of all that was opened; it can be opened again."""
        self._better = self._last = None
        self._health.forget(self._title)

    def release_last_resort(self) -> None:
        """Lets go of what PyTorch needs for these frames, which takes no time to make again."""
        if self.at_once:
            self._last = None

    def _next(self) -> Backend | None:
        if self._better is not None:
            return None
        for backend in self._candidates:
            if backend.name not in self._failed:
                return backend
        if self.at_once or self._last is not None or self._last_resort.name in self._failed:
            return None
        return self._last_resort

    def _open_last_resort(self) -> Compiled:
        last = self._last
        if last is not None:
            return last
        if self.at_once:
            with self._opening:
                self._last = run = self._last or self._open(self._last_resort)
                return run
        if self._last_resort.name in self._failed:
            raise self._failure()
        if not self._wait:
            raise CompilingError(f"{self._last_resort.name} for {self._title} is not compiled yet")
        with self._preparing:
            if self._last is None:
                self._try(self._last_resort)
            if self._last is None:
                raise self._failure()
            return self._last

    def _try(self, backend: Backend) -> None:
        """Opens a backend, or notes why it cannot be. Raises ClosedError."""
        try:
            run = self._open(backend)
        except ClosedError:
            raise
        except Exception as error:
            why = f"{backend.name} for {self._title} could not be compiled: {error}"
            self._failed[backend.name] = why
            self._note_failure(why)
            return
        # Its first run takes several times as long: none of a camera's frames shall wait for it.
        with contextlib.suppress(Exception):  # frames find out, and say so
            run(torch.zeros(self._job.spec.shape, dtype=torch.uint8))
        if backend is self._last_resort:
            self._last = run
            return
        self._better = _Better(backend.name, run)
        last = self._last_resort.name
        _LOG.info("now running %s for %s instead of %s", backend.name, self._title, last)

    def _open(self, backend: Backend) -> Compiled:
        job = self._job
        if isinstance(backend, Eager):  # which takes no time
            run = backend.build(job)
        else:
            with self._health.opening(f"{backend.name} for {self._title}"):
                run = self._store.open(backend, job)
        return Staged(run, job.spec.shape, job.device) if job.device.type == "cuda" else run

    def _free_last_resort(self) -> None:
        """A better backend delivers: what PyTorch has allocated is given back, not in a frame."""

        def free() -> None:
            with COMPILING:  # which it would disturb
                trim_memory()

        self._last = None
        threading.Thread(target=free, name="freeing", daemon=True).start()

    def _note_failed_run(self, failed: _Better, error: Exception) -> None:
        with self._failing:
            rest = failed.breaker.failed()
            if self._better is not failed or rest == 0:
                return  # another thread's frames have failed before
            what = "is dropped" if rest is None else f"rests for {rest} frames"
            failed.failures.append(f"{failed.name} failed on {self._title} and {what}: {error}")
            self._note_failure(failed.failures[-1])
            if rest is None:
                self._failed[failed.name] = failed.failures[-1]
                self._better = None

    def _note_failure(self, failure: str) -> None:
        self._health.note_failure(failure)
        _LOG.warning("%s", failure)

    def _failure(self) -> BackendError:
        return BackendError(self._failed[self._last_resort.name])
