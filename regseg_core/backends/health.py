"""What runs, what compiles and what has failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

#: So many failures, and so many kinds of frames, are told of.
MOST = 8


@dataclass
class Health:
    """State of a Segmenter's backends, the latest of each kind: it is read for months."""

    #: What segmented the last frame.
    backend: str = ""
    #: What ran each kind of frames lately: their size, encoding, batch and precision.
    running: dict[str, str] = field(default_factory=dict)
    #: What is being compiled or loaded just now, and since when, in seconds of the monotonic clock.
    compiling: dict[str, float] = field(default_factory=dict)
    #: Backends that cannot work here, with the reason.
    refused: dict[str, str] = field(default_factory=dict)
    #: What failed while compiling or running and has not been good again since, oldest first.
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def building(self) -> str | None:
        """What is being compiled or loaded just now, for people."""
        return "; ".join(dict(self.compiling)) or None

    def note_running(self, title: str, backend: str) -> None:
        """A kind of frames was segmented by that backend."""
        self.backend = backend
        if self.running.get(title) == backend:
            return
        with self._lock:
            self.running[title] = backend
            for oldest in list(self.running)[:-MOST]:
                del self.running[oldest]

    def forget(self, title: str) -> None:
        """A kind of frames is not kept ready any more."""
        with self._lock:
            self.running.pop(title, None)

    def note_failure(self, failure: str) -> None:
        """A backend failed, for that reason."""
        with self._lock:
            self.failures.append(failure)
            del self.failures[:-MOST]

    def forgive(self, failures: list[str]) -> None:
        """A backend that failed has run well for long."""
        with self._lock:
            self.failures[:] = [failure for failure in self.failures if failure not in failures]

    @contextmanager
    def opening(self, title: str) -> Iterator[None]:
        """Something is compiled or loaded meanwhile."""
        with self._lock:
            self.compiling[title] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self.compiling.pop(title, None)
