"""A job and a backend in, something to call out; what can be kept is kept."""

from __future__ import annotations

from regseg_core.backends.base import Backend, Compiled, Direct, Job, Portable
from regseg_core.backends.cache import EngineCache, read_identity, read_payload
from regseg_core.backends.child import payload_from_child


def build(backend: Backend, job: Job) -> Compiled:
    """Compiles a job. Raises BackendError, EngineError, or what the backend's library raises."""
    if isinstance(backend, Portable):
        return backend.load(kept_or_built(backend, job), job)
    assert isinstance(backend, Direct)
    return backend.build(job)


def kept_or_built(backend: Portable, job: Job) -> bytes:
    """A job's payload from its engine file or the cache, else from a process that compiles it."""
    identity = job.spec.identity(job.weights, backend.made_by(job.device))
    if job.engine is not None:
        carried = read_identity(job.engine)
        if carried["spec"] == identity["spec"]:
            return read_payload(job.engine, identity, carried=True)
    cache = EngineCache(job.cache)
    return cache.get_or_build(identity, lambda: payload_from_child(backend.name, job))[0]
