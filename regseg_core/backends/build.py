"""A job and a backend in, something to call out; what can be kept is kept."""

from __future__ import annotations

import logging

from regseg_core.backends.base import Backend, Compiled, Direct, Job, Portable
from regseg_core.backends.cache import EngineCache, read_identity, read_payload
from regseg_core.backends.child import payload_from_child
from regseg_core.backends.spec import GraphSpec

_LOG = logging.getLogger("regseg_core")


def build(backend: Backend, job: Job) -> Compiled:
    """Compiles a job. Raises BackendError, EngineError, or what the backend's library raises."""
    if isinstance(backend, Portable):
        return backend.load(kept_or_built(backend, job), job)
    assert isinstance(backend, Direct)
    return backend.build(job)


def kept_or_built(backend: Portable, job: Job) -> bytes:
    """A job's payload from its engine file or the cache, else from a process that compiles it."""
    identity = job.identity(backend)
    if job.engine is not None:
        carried = read_identity(job.engine)
        if carried["made_by"]["backend"] == backend.name:
            if carried["spec"] == identity["spec"]:
                return read_payload(job.engine, identity, carried=True)
            its = GraphSpec(**carried["spec"]).title()
            _LOG.warning("%s is for %s, not for %s", job.engine, its, job.spec.title())
    cache = EngineCache(job.cache)
    return cache.get_or_build(identity, lambda: payload_from_child(backend.name, job))[0]
