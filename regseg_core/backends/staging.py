"""Frames to the GPU and planes back: pinned, asynchronous, and replayed as one CUDA graph."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from regseg_core.backends.base import Compiled

_LOG = logging.getLogger("regseg_core")


class Staged:
    """A compiled graph on a GPU that takes frames and gives planes in the host's memory.

    Nothing is allocated per frame on the GPU: input, outputs and what lies between have their
    places, and the whole is recorded once and replayed. Two slots take turns, so that one frame is
    copied while the one before computes: `submit` starts a frame, `collect` waits for the oldest.
    """

    def __init__(self, compiled: Compiled, shape: tuple[int, int, int, int], device: torch.device):
        self._slots = [_Slot(compiled, shape, device) for _ in range(2)]
        self._next, self._pending = 0, 0

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        """N x H x W x C uint8 on the host -> planes on the host, the caller's own."""
        self.submit(frames)
        return self.collect()

    def submit(self, frames: Tensor) -> None:
        """Starts a frame and returns. Raises RuntimeError while both slots are taken."""
        if self._pending == len(self._slots):
            raise RuntimeError("collect a frame before submitting a third one")
        self._slots[self._next].start(frames)
        self._next = (self._next + 1) % len(self._slots)
        self._pending += 1

    def collect(self) -> tuple[Tensor, ...]:
        """Waits for the oldest frame that was submitted."""
        oldest = (self._next - self._pending) % len(self._slots)
        self._pending -= 1
        return self._slots[oldest].finish()


class _Slot:
    def __init__(
        self, compiled: Compiled, shape: tuple[int, int, int, int], device: torch.device
    ) -> None:
        self._compiled = compiled
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._sent = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self._frames = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._recorded: torch.cuda.CUDAGraph | None = None
        with torch.cuda.stream(self._stream):
            for _ in range(3):  # libraries choose their kernels and allocate before a recording
                self._planes = compiled(self._frames)
            self._stream.synchronize()
        self._record()
        self._received = tuple(
            torch.empty(plane.shape, dtype=plane.dtype, pin_memory=True) for plane in self._planes
        )

    def _record(self) -> None:
        recorded = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(recorded, stream=self._stream):
                planes = self._compiled(self._frames)
        except RuntimeError as error:
            _LOG.info("not replayed as a CUDA graph: %s", error)
            return
        self._recorded, self._planes = recorded, planes

    def start(self, frames: Tensor) -> None:
        self._sent.copy_(frames)
        with torch.cuda.stream(self._stream):
            self._frames.copy_(self._sent, non_blocking=True)
            if self._recorded is not None:
                self._recorded.replay()
            else:
                self._planes = self._compiled(self._frames)
            for host, plane in zip(self._received, self._planes, strict=True):
                host.copy_(plane, non_blocking=True)
            self._done.record()

    def finish(self) -> tuple[Tensor, ...]:
        self._done.synchronize()
        return tuple(plane.clone() for plane in self._received)
