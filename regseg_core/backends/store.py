"""Where engines come from and where they are kept."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from regseg_core.backends.base import Backend, Compiled, Direct, Job, Portable
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
        """Something to call with frames.

        Raises BackendError, EngineError, or what the backend's library raises.
        """
        if isinstance(backend, Portable):
            return backend.load(self.payload(backend, job), job)
        assert isinstance(backend, Direct)
        return backend.build(job)

    def payload(self, backend: Portable, job: Job) -> bytes:
        """A job's engine: the file's or a kept one, else a new one.

        Raises ClosedError after `close`, and what compiling raises.
        """
        self._compilers.refuse_if_closed()
        identity = job.identity(backend)
        if self._file is not None:
            carried = read_identity(self._file)
            if carried["made_by"]["backend"] == backend.name:
                if carried["spec"] == identity["spec"]:
                    return read_payload(self._file, identity, carried=True)
                its, wanted = spec_of(carried).title(), job.spec.title()
                _LOG.warning("%s is for %s, not for %s", self._file, its, wanted)

        def compiled() -> bytes:
            started = time.monotonic()
            _LOG.info("compiling %s for %s", backend.name, job.spec.title())
            payload = self._compilers.payload(backend.name, job)
            _LOG.info("compiled in %.1f s", time.monotonic() - started)
            return payload

        payload = self._cache.get_or_build(identity, compiled)[0]
        self._compilers.refuse_if_closed()  # it may have waited for another process
        return payload

    def close(self) -> None:
        """Ends what is compiling."""
        self._compilers.close()
