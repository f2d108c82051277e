"""Where engines come from and where they are kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regseg_core.backends.base import Backend, Compiled, Direct, Job, Portable, refuse_int8
from regseg_core.backends.cache import EngineCache
from regseg_core.backends.child import Compilers
from regseg_core.backends.engine_file import read_identity, read_payload, spec_of

_LOG = logging.getLogger("regseg_core")


class EngineStore:
    """An engine file, a cache folder, and the processes that compile what neither has.

    `folder`: of engines; None keeps none. `file`: an engine that was compiled ahead, perhaps on
    another machine; it is used for what it was compiled for.
    """

    def __init__(self, folder: Path | None = None, file: Path | None = None) -> None:
        self._cache, self._file = EngineCache(folder), file
        self._compilers = Compilers()

    def open(self, backend: Backend, job: Job) -> Compiled:
        """Something to call with frames: the file's engine or a kept one, else a new one.

        The log says what is compiled, and how long it took. Raises BackendError, EngineError, or
        what the backend's library raises; ClosedError after `close`.
        """
        self._compilers.refuse_if_closed()
        refuse_int8(backend, job)
        title = f"{backend.name} for {job.spec.title()}"
        if isinstance(backend, Portable):
            run = self._open(backend, job, title)
            self._compilers.refuse_if_closed()
            return run
        assert isinstance(backend, Direct)
        with _compiling(title):
            return backend.build(job)

    def _open(self, backend: Portable, job: Job, title: str) -> Compiled:
        identity = job.identity(backend)

        def build() -> bytes:
            with _compiling(title):
                return self._compilers.payload(backend.name, job, self._cache.folder)

        def load(payload: bytes) -> Compiled:
            started = time.monotonic()
            run = backend.load(payload, job, self._cache.beside(identity))
            _LOG.info("loaded %s in %.1f s", title, time.monotonic() - started)
            return run

        carried = self._carried(backend, job, identity)
        if carried is not None:
            return load(carried)
        return self._cache.open(identity, build, load, self._compilers.refuse_if_closed)

    def _carried(self, backend: Portable, job: Job, identity: dict[str, object]) -> bytes | None:
        if self._file is None:
            return None
        carried = read_identity(self._file)
        if carried["made_by"]["backend"] != backend.name:
            return None
        if carried["spec"] == identity["spec"]:
            return read_payload(self._file, identity, carried=True)
        its, wanted = spec_of(carried).title(), job.spec.title()
        _LOG.warning("%s is for %s, not for %s", self._file, its, wanted)
        return None

    def close(self) -> None:
        """Ends what is compiling; nothing is opened any more."""
        self._compilers.close()


@contextmanager
def _compiling(title: str) -> Iterator[None]:
    started = time.monotonic()
    _LOG.info("compiling %s", title)
    yield
    _LOG.info("compiled %s in %.1f s", title, time.monotonic() - started)
