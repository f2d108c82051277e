"""The kinds of frames that come, and the one thread that opens backends for them."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from regseg_core.backends.base import Backend, BackendError, Job
from regseg_core.backends.health import Health
from regseg_core.backends.runner import Runner
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.store import EngineStore

#: A kind is compiled once more batches of it than these have come lately: one picture is not worth
#: it.
COMPILE_AFTER = 3

#: So many sizes, encodings and batches are kept ready.
KEPT = 8

#: So many are remembered.
_REMEMBERED = 64

#: Batches of any kind after which one counts half: what comes often is told by the last thousand.
_HALF_LIFE = 1000.0

#: A kind takes the place of one that comes less than half as often, and some batches more: of more
#: kinds than are kept, which come in turn, none is compiled again and again.
_OUSTS, _HANDICAP = 2.0, 10.0

#: Batches of other kinds after which what still waits to be compiled is not wanted any more.
_STALE = 100

#: Seconds that `close` waits for threads. What compiles in this process cannot be interrupted.
_PATIENCE = 1.0


@dataclass(eq=False)
class _Kind:
    runner: Runner
    #: How often it came lately, as it was at the batch numbered `last`.
    uses: float = 0.0
    last: int = 0
    #: Whether its backend waits to be opened in the background.
    waits: bool = False

    def uses_at(self, now: int) -> float:
        return self.uses * math.pow(0.5, (now - self.last) / _HALF_LIFE)

    def use(self, now: int) -> None:
        self.uses, self.last = self.uses_at(now) + 1, now


class Runners:
    """Runners of a Segmenter's kinds of frames, in the order of their last use.

    Better backends, and with `wait` false named ones, are opened in a thread that lives as long as
    there is something to open: one at a time, and first for the kind that came last.
    """

    def __init__(
        self, backends: Sequence[Backend], health: Health, store: EngineStore, wait: bool
    ) -> None:
        self._backends, self._health, self._store, self._wait = backends, health, store, wait
        self._kinds: dict[GraphSpec, _Kind] = {}
        self._now = 0
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._opens = self._closed = False
        self._threads: set[threading.Thread] = set()

    def use(self, job: Job, at_once: bool = False) -> Runner:
        """The runner of a job's kind, of which a batch has come.

        Kinds that come often enough, or `at_once`, begin to compile.
        """
        with self._lock:
            self._now += 1
            kind = self._kinds.pop(job.spec, None)
            if kind is None:
                kind = _Kind(Runner(job, self._backends, self._health, self._store, self._wait))
            self._kinds[job.spec] = kind
            kind.use(self._now)
            self._forget()
            runner = kind.runner
            if runner.unfinished:
                if self._wait and not runner.at_once:
                    self._make_room(kind)  # it is opened by the caller
                elif at_once or self._is_its_turn(kind, job.spec):
                    kind.waits = True
                    if self._has_room(kind) and not self._opens and not self._closed:
                        self._opens = True
                        self._start(self._open_all, "compiling")
            return runner

    def prepare(self, runner: Runner) -> None:
        """`Runner.prepare` in this thread, when it is its turn."""
        with self._turn:
            runner.prepare()

    def kinds(self) -> list[GraphSpec]:
        """Those that came lately, newest first."""
        with self._lock:
            return list(reversed(self._kinds))[:KEPT]

    def start(self, work: Callable[[], None], name: str) -> None:
        """Runs something in a thread that `close` waits for."""
        with self._lock:
            if not self._closed:
                self._start(work, name)

    def close(self) -> None:
        """Ends what compiles, and opens no more; returns within a second or little more."""
        with self._lock:
            self._closed = True
            threads = self._threads - {threading.current_thread()}
        self._store.close()
        deadline = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads = {other for other in self._threads if other.is_alive()} | {thread}
        thread.start()

    def _open_all(self) -> None:
        while (kind := self._take()) is not None:
            with contextlib.suppress(BackendError):  # it is noted, and raised for its frames
                self.prepare(kind.runner)
            with self._lock:
                if kind in self._kinds.values():
                    self._make_room(kind)
                else:
                    kind.runner.release()

    def _take(self) -> _Kind | None:
        with self._lock:
            for kind in reversed(self._kinds.values()):
                if kind.waits and not self._closed:
                    kind.waits = False
                    wanted = kind.runner.unfinished and self._now - kind.last <= _STALE
                    if wanted and self._has_room(kind):
                        return kind
            self._opens = False
            return None

    def _is_its_turn(self, kind: _Kind, spec: GraphSpec) -> bool:
        if kind.runner.at_once:
            return kind.uses > COMPILE_AFTER
        # Nothing else segments these frames: smaller batches, which do, come first.
        half = self._kinds.get(replace(spec, batch=spec.batch // 2)) if spec.batch > 1 else None
        return spec.batch == 1 or (half is not None and not half.runner.unfinished)

    def _others(self, kind: _Kind) -> list[_Kind]:
        """The others that are ready, those that come least first."""
        ready = [
            other for other in self._kinds.values() if other.runner.ready and other is not kind
        ]
        return sorted(ready, key=lambda other: other.uses_at(self._now))

    def _has_room(self, kind: _Kind) -> bool:
        others = self._others(kind)
        if len(others) < KEPT:
            return True
        least = others[0].uses_at(self._now)
        return kind.uses_at(self._now) > _OUSTS * (least + _HANDICAP)

    def _make_room(self, kind: _Kind) -> None:
        others = self._others(kind)
        for other in others[: max(0, len(others) - KEPT + 1)]:
            other.runner.release()

    def _forget(self) -> None:
        specs = list(self._kinds)
        for spec in specs[:-KEPT]:
            self._kinds[spec].runner.release_last_resort()
        for spec in specs[:-_REMEMBERED]:
            if not self._kinds[spec].runner.ready:
                del self._kinds[spec]
