"""One graph that is always ready: by the best backend so far, while a better one builds."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from regseg_core.backends.base import Backend, Compiled, Job
from regseg_core.backends.build import build
from regseg_core.backends.staging import Staged

_LOG = logging.getLogger("regseg_core")


@dataclass
class Health:
    """How the backends of a Segmenter do."""

    #: What segmented the last frame.
    backend: str = ""
    #: What is being compiled just now.
    building: str | None = None
    #: Backends that cannot work here, with the reason.
    refused: dict[str, str] = field(default_factory=dict)
    #: What failed while compiling or running, oldest first.
    failures: list[str] = field(default_factory=list)


class Engine:
    """Runs one graph by the first of `backends` that works; the last one is there at once.

    `build_better` compiles a better one, in this thread or beside it. One that fails while running
    is dropped, and the frame is given to the next.
    """

    def __init__(self, job: Job, backends: Sequence[Backend], health: Health) -> None:
        self._job, self._health = job, health
        #: Counts the frames that it is given, also by several threads.
        self.count = itertools.count()
        *self._untried, self._last_resort = backends
        self._last: Compiled | None = None
        self._better: tuple[str, Compiled] | None = None
        self._opening, self._building, self._dropping = (threading.Lock() for _ in range(3))

    @property
    def backend(self) -> str:
        """What runs it now."""
        better = self._better
        return self._last_resort.name if better is None else better[0]

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        """What Compiled does, from and to the host's memory. Raises what the last resort raises."""
        better = self._better
        if better is None:
            self._health.backend = self._last_resort.name
            return self._open_last_resort()(frames)
        name, run = better
        self._health.backend = name
        try:
            return run(frames)
        except Exception as error:
            with self._dropping:
                if self._better is better:  # else another thread's frame has failed before
                    title = self._job.spec.title()
                    self._note(f"{name} failed on {title} and is dropped: {error}")
                    self._better = None
                    self.build_better(wait=False)
        return self(frames)

    def build_better(self, wait: bool) -> None:
        """Compiles the best backend that has not failed yet, and goes over to it."""
        if wait:
            self._build()
        elif self._untried:
            threading.Thread(target=self._build, name="compiling", daemon=True).start()

    def _build(self) -> None:
        with self._building:
            while self._untried and self._better is None:
                backend = self._untried.pop(0)
                title = f"{backend.name} for {self._job.spec.title()}"
                self._health.building = title
                try:
                    self._better = backend.name, self._open(backend)
                except Exception as error:
                    self._note(f"{title} could not be compiled: {error}")
                    continue
                finally:
                    self._health.building = None
                _LOG.info("now running %s instead of %s", title, self._last_resort.name)
                return

    def _open_last_resort(self) -> Compiled:
        with self._opening:
            if self._last is None:
                self._last = self._open(self._last_resort)
            return self._last

    def _open(self, backend: Backend) -> Compiled:
        job = self._job
        run = build(backend, job)
        return Staged(run, job.spec.shape, job.device) if job.device.type == "cuda" else run

    def _note(self, failure: str) -> None:
        self._health.failures.append(failure)
        _LOG.warning("%s", failure)
