"""torch.compile: generated kernels on a GPU, frozen weights and C++ on a CPU."""

from __future__ import annotations

import shutil
from typing import Any

import torch
from torch import Tensor

from regseg_core.backends.base import COMPILING, BackendError, Compiled, Job
from regseg_core.precision import PRECISIONS

_MOST_GRAPHS = 256


class Inductor:
    """PyTorch's own compiler, `torch.compile`."""

    name = "inductor"

    def check(self, device: torch.device) -> None:
        if device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++"))):
            raise BackendError("torch.compile needs a C++ compiler: sudo apt install g++")

    def build(self, job: Job) -> Compiled:
        graph = job.graph(PRECISIONS[job.spec.precision]).to(job.device)
        # Frozen weights are constants, into which normalisation is folded.
        options: dict[str, Any] = {"freezing": True}
        compiled = torch.compile(graph, dynamic=False, fullgraph=True, options=options)

        def run(frames: Tensor) -> tuple[Tensor, ...]:
            with torch.no_grad():
                planes: tuple[Tensor, ...] = compiled(frames)
                return planes

        # Each size is a compilation of the same code, of which PyTorch allows 8 by default. Its
        # compiler is imported here, at its first use: it takes as long as the rest of PyTorch.
        with COMPILING, torch._dynamo.config.patch(recompile_limit=_MOST_GRAPHS):
            run(torch.zeros(job.spec.shape, dtype=torch.uint8, device=job.device))
        return run
