"""Frames to the GPU and planes back: pinned, asynchronous, and replayed as one CUDA graph."""

from __future__ import annotations

import logging
import queue

import torch
from torch import Tensor

from regseg_core.backends.base import COMPILING, Compiled

#: So many frames are under way at once: one is copied while another is computed.
LANES = 2

_LOG = logging.getLogger("regseg_core")


class Staged:
    """A compiled graph on a GPU that takes frames and gives planes in the host's memory.

    Callers in several threads have a lane each, up to `LANES`, so that the copies of one frame
    overlap the computing of another. The second lane is made when it is first needed: one camera
    needs the memory of one.
    """

    def __init__(self, compiled: Compiled, shape: tuple[int, ...], device: torch.device) -> None:
        self._arguments = compiled, shape, device
        # Last in, first out: a single caller stays in one lane. None is a lane still to be made.
        self._free: queue.LifoQueue[Lane | None] = queue.LifoQueue()
        for _ in range(LANES - 1):
            self._free.put(None)
        self._free.put(Lane(*self._arguments))

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Uint8 frames of that shape on the host -> planes on the host, the caller's own."""
        lane = self._take()
        try:
            return lane(frames)
        finally:
            self._free.put(lane)

    def replay(self) -> None:
        """Runs the graph on the frame that is there, without copies, on the current stream."""
        lane = self._take()
        try:
            lane.replay()
        finally:
            self._free.put(lane)

    def _take(self) -> Lane:
        lane = self._free.get()
        if lane is not None:
            return lane
        try:
            return Lane(*self._arguments)
        except RuntimeError as error:  # CUDA out of memory is one
            _LOG.warning("frames are segmented one after the other: %s", error)
            return self._take()


class Lane:
    """Buffers of one frame, and a stream of its own for its copies and its graph.

    Nothing is allocated per frame on the GPU: input, outputs and what lies between have their
    buffers, and the graph is recorded once and replayed. While something compiles in this process
    it cannot be recorded; until then its kernels are started one by one.
    """

    def __init__(self, compiled: Compiled, shape: tuple[int, ...], device: torch.device) -> None:
        self._compiled = compiled
        self._recorded: torch.cuda.CUDAGraph | None = None
        self._may_record = True
        # Buffers of a caller's inference mode could not be written outside of it.
        with torch.inference_mode(False), torch.cuda.device(device):
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._sent = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            with torch.cuda.stream(self._stream):
                self._frames = torch.zeros(shape, dtype=torch.uint8, device=device)
                for _ in range(3):  # libraries choose kernels and allocate before a recording
                    self._planes = compiled(self._frames)
                self._stream.synchronize()
            self._received = tuple(
                torch.empty(plane.shape, dtype=plane.dtype, pin_memory=True)
                for plane in self._planes
            )
        self._record()

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        self._record()
        self._sent.copy_(frames)
        with torch.cuda.stream(self._stream):
            self._frames.copy_(self._sent, non_blocking=True)
            self.replay()
            for host, plane in zip(self._received, self._planes, strict=True):
                host.copy_(plane, non_blocking=True)
            self._done.record()
        self._done.synchronize()
        return tuple(plane.clone() for plane in self._received)

    def replay(self) -> None:
        if self._recorded is not None:
            self._recorded.replay()
        else:
            self._planes = self._compiled(self._frames)

    def _record(self) -> None:
        if not self._may_record or not COMPILING.acquire(blocking=False):
            return
        self._may_record = False
        recorded = torch.cuda.CUDAGraph()
        try:
            # The outer stream is what comes back after a recording that fails. Other threads go on
            # using the GPU meanwhile.
            with (
                torch.inference_mode(False),
                torch.cuda.stream(self._stream),
                torch.cuda.graph(recorded, stream=self._stream, capture_error_mode="thread_local"),
            ):
                planes = self._compiled(self._frames)
        except RuntimeError as error:
            _LOG.info("not replayed as a CUDA graph: %s", error)
        else:
            self._recorded, self._planes = recorded, planes
        finally:
            COMPILING.release()
