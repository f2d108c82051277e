"""Frames to the GPU and planes back: pinned, asynchronous, and replayed as one CUDA graph."""

from __future__ import annotations

import logging
import threading

import torch
from torch import Tensor

from regseg_core.backends.base import Compiled

_LOG = logging.getLogger("regseg_core")

#: Recordings of two threads must not overlap.
_RECORDING = threading.Lock()


class Staged:
    """A compiled graph on a GPU that takes frames and gives planes in the host's memory.

    Nothing is allocated per frame on the GPU: input, outputs and what lies between have their
    places, and the graph is recorded once and replayed. Copies and graph have a stream of their
    own and are waited for once.
    """

    def __init__(
        self, compiled: Compiled, shape: tuple[int, int, int, int], device: torch.device
    ) -> None:
        self._compiled = compiled
        with _RECORDING, torch.cuda.device(device):
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._sent = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
            self._frames = torch.zeros(shape, dtype=torch.uint8, device=device)
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            torch.cuda.synchronize(device)  # the zeros are there before another stream reads them
            with torch.cuda.stream(self._stream):
                for _ in range(3):  # libraries choose kernels and allocate before a recording
                    self._planes = compiled(self._frames)
                self._stream.synchronize()
            self._recorded = self._record()
            self._received = tuple(
                torch.empty(plane.shape, dtype=plane.dtype, pin_memory=True)
                for plane in self._planes
            )

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        """N x H x W x C uint8 on the host -> planes on the host, the caller's own."""
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
        self._done.synchronize()
        return tuple(plane.clone() for plane in self._received)

    def replay(self) -> None:
        """Runs the graph on the frame that is there, without copies, on the current stream."""
        if self._recorded is not None:
            self._recorded.replay()
        else:
            self._planes = self._compiled(self._frames)

    def _record(self) -> torch.cuda.CUDAGraph | None:
        recorded = torch.cuda.CUDAGraph()
        try:
            # Other threads go on using the GPU meanwhile.
            with torch.cuda.graph(recorded, stream=self._stream, capture_error_mode="thread_local"):
                planes = self._compiled(self._frames)
        except RuntimeError as error:
            _LOG.info("not replayed as a CUDA graph: %s", error)
            return None
        self._planes = planes
        return recorded
