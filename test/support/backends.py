"""Backends whose labels tell who they are, and that build when they are told to."""

from __future__ import annotations

import threading

import torch
from torch import Tensor
from waiting import PATIENCE

from regseg_core.backends.base import Compiled, Job
from regseg_core.backends.eager import Eager
from regseg_core.backends.spec import GraphSpec


def marking(label: int) -> Compiled:
    """Gives each pixel that label."""
    return lambda frames: (torch.full(frames.shape[:3], label, dtype=torch.uint8),)


class Plain(Eager):
    """Stands for PyTorch: opens at once, labels everything 1."""

    name = "plain"

    def build(self, job: Job) -> Compiled:
        return marking(1)


class Slow:
    """Builds when told to, and labels everything 7."""

    name = "slow"

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.built: list[GraphSpec] = []
        #: How many it has built at once.
        self.most = 0
        self._at_once = 0

    def check(self, device: torch.device) -> None: ...

    def build(self, job: Job) -> Compiled:
        self._at_once += 1
        self.most = max(self.most, self._at_once)
        self.built.append(job.spec)
        self.began.set()
        assert self.may_end.wait(PATIENCE)
        self._at_once -= 1
        return marking(7)


class Failing:
    """Labels everything 9 for some frames, and then runs out of memory."""

    name = "failing"

    def __init__(self, frames: int, builds: bool = True) -> None:
        self.frames, self.builds = frames, builds
        self.tried = 0

    def check(self, device: torch.device) -> None: ...

    def build(self, job: Job) -> Compiled:
        self.tried += 1
        if not self.builds:
            raise RuntimeError("no converter for aten::nothing")
        self.frames += 1  # the empty one that is run before it takes over

        def run(frames: Tensor) -> tuple[Tensor, ...]:
            self.frames -= 1
            if self.frames < 0:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return marking(9)(frames)

        return run
