"""PyTorch, operator by operator: no building, works everywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from regseg_core.backends.base import Compiled, Job
from regseg_core.device import tune
from regseg_core.model import SegmentationNetwork
from regseg_core.precision import float_type


class Eager:
    """Runs the graphs of all sizes with one network."""

    name = "eager"

    def __init__(self, network: SegmentationNetwork | None = None) -> None:
        self._network = network

    def check(self, device: torch.device) -> None:
        """Works on any device."""

    def build(self, job: Job) -> Compiled:
        if self._network is None:
            graph = job.graph(float_type(job.spec.precision))
        else:
            graph = job.graph_of(self._network)
        graph = graph.to(job.device)
        tune(job.device)

        def run(frames: Tensor) -> tuple[Tensor, ...]:
            with torch.inference_mode():
                planes: tuple[Tensor, ...] = graph(frames)
                return planes

        return run
