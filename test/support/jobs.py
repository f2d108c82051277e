"""What is compiled in tests: the shipped network, on the CPU."""

from __future__ import annotations

import torch

from regseg_core.backends.base import Backend, Compiled, Job
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.store import EngineStore
from regseg_core.weights import find_weights

CPU = torch.device("cpu")


def job(spec: GraphSpec) -> Job:
    return Job(*find_weights("regseg48-camvid"), spec, CPU)


def opened(backend: Backend, spec: GraphSpec) -> Compiled:
    return EngineStore().open(backend, job(spec))
