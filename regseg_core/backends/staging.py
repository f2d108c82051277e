"""Frames to the GPU and planes back: pinned, asynchronous, and replayed as one CUDA graph."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import weakref
from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from regseg_core.backends.base import COMPILING, Compiled, Recordable

#: So many frames are under way at once: one is copied while another is computed.
LANES = 2

#: PyTorch hands out so many streams in turn.
_STREAMS = 32

#: Held while a lane is made, and while one records. Libraries allocate and wait for the whole GPU
#: when they run for the first time, which spoils the recording of another thread.
_MAKING = threading.Lock()

#: Set by the first recording that fails. After it PyTorch's allocator may still take memory for the
#: recording, and the next one end the process (pytorch/pytorch#180395): there is no next one.
recording_failed = threading.Event()

_LOG = logging.getLogger("regseg_core")

#: Handle of each lane's stream. A list, for lanes share one where all are taken: it stays taken
#: until the last of them is gone.
_streams: list[int] = []


class Staged:
    """A compiled graph on a GPU that takes frames and gives planes in the host's memory.

    Callers in several threads have a lane each, up to `LANES`, so that the copies of one frame
    overlap the computing of another. The second lane is made when it is first needed: one camera
    needs the memory of one.
    """

    def __init__(self, compiled: Compiled, shape: tuple[int, ...], device: torch.device) -> None:
        self._arguments = compiled, shape, device
        self._own: list[int] = []
        # Last in, first out: a single caller stays in one lane.
        self._free: queue.LifoQueue[Lane] = queue.LifoQueue()
        with _MAKING:
            self._free.put(self._make())
        self._to_make = LANES - 1

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Uint8 frames of that shape on the host -> planes on the host, the caller's own."""
        lane = self._take()
        try:
            return lane(frames)
        finally:
            self._free.put(lane)

    @property
    def is_recorded(self) -> bool:
        """Whether a single caller's frames are replayed as a CUDA graph."""
        lane = self._take()
        try:
            return lane.is_recorded
        finally:
            self._free.put(lane)

    def replay(self) -> None:
        """Runs the graph on the frame that is there, without copies, on the current stream."""
        lane = self._take()
        try:
            lane.replay()
        finally:
            self._free.put(lane)

    def _make(self) -> Lane:
        lane = Lane(*self._arguments, self._own)
        self._own.append(lane.stream)
        return lane

    def _take(self) -> Lane:
        with contextlib.suppress(queue.Empty):
            return self._free.get_nowait()
        # A frame rather waits for its turn than for what others make or record.
        if self._to_make and _MAKING.acquire(blocking=False):
            try:
                if self._to_make:
                    self._to_make -= 1
                    return self._make()
            except RuntimeError as error:  # CUDA out of memory is one
                _LOG.warning("frames are segmented one after the other: %s", error)
            finally:
                _MAKING.release()
        return self._free.get()


class Lane:
    """Buffers of one frame, and a stream of its own for its copies and its graph.

    Nothing is allocated per frame on the GPU: input, outputs and what lies between have their
    buffers, and the graph is recorded once and replayed. While something compiles in this process
    it cannot be recorded; until then its kernels are started one by one. Who makes one holds
    `_MAKING`. `others`: the streams of its graph's other lanes, which must not be its own, for an
    engine keeps the memory of a frame for each stream.
    """

    def __init__(
        self,
        compiled: Compiled,
        shape: tuple[int, ...],
        device: torch.device,
        others: Collection[int],
    ) -> None:
        self._compiled = compiled
        self._recorded: torch.cuda.CUDAGraph | None = None
        self._may_record = True
        # Buffers of a caller's inference mode could not be written outside of it.
        with torch.inference_mode(False), torch.cuda.device(device):
            self._stream = _stream_beside(device, others)
            _streams.append(self.stream)
            weakref.finalize(self, _streams.remove, self.stream)
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

    @property
    def stream(self) -> int:
        """CUDA's handle of its stream."""
        return int(self._stream.cuda_stream)

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        if self._may_record and _MAKING.acquire(blocking=False):
            try:
                self._record()
            finally:
                _MAKING.release()
        self._sent.copy_(frames)
        with torch.cuda.stream(self._stream):
            self._frames.copy_(self._sent, non_blocking=True)
            self.replay()
            for host, plane in zip(self._received, self._planes, strict=True):
                host.copy_(plane, non_blocking=True)
            self._done.record()
        self._done.synchronize()
        return tuple(plane.clone() for plane in self._received)

    @property
    def is_recorded(self) -> bool:
        """Whether its graph is replayed."""
        return self._recorded is not None

    def replay(self) -> None:
        if self._recorded is not None:
            self._recorded.replay()
        else:
            self._planes = self._compiled(self._frames)

    def _record(self) -> None:
        if recording_failed.is_set() or not self._can_be_recorded():
            self._may_record = False
        elif COMPILING.acquire(blocking=False):
            self._may_record = False
            try:
                self._try_to_record()
            finally:
                COMPILING.release()

    def _can_be_recorded(self) -> bool:
        if not isinstance(self._compiled, Recordable):
            return True
        with torch.cuda.stream(self._stream):
            can = self._compiled.can_be_recorded()
        if not can:
            _LOG.info("the engine cannot be recorded as a CUDA graph: kernels start one by one")
        return can

    def _try_to_record(self) -> None:
        recorded = torch.cuda.CUDAGraph()
        with torch.inference_mode(False), torch.cuda.stream(self._stream):
            # cuDNN keeps what it has timed for each thread, and must not time while recording.
            self._planes = self._compiled(self._frames)
            self._stream.synchronize()
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
            recording_failed.set()
            _LOG.warning("nothing more is recorded as a CUDA graph in this process: %s", error)
        else:
            self._recorded, self._planes = recorded, planes


@contextlib.contextmanager
def nothing_recorded() -> Iterator[None]:
    """Lanes that are made meanwhile record nothing."""
    had_failed = recording_failed.is_set()
    recording_failed.set()
    try:
        yield
    finally:
        if not had_failed:
            recording_failed.clear()


@contextlib.contextmanager
def undisturbed() -> Iterator[bool]:
    """Whether the whole GPU may be waited for meanwhile: nothing is made, compiled or recorded."""
    making = _MAKING.acquire(blocking=False)
    compiling = making and COMPILING.acquire(blocking=False)
    try:
        yield compiling
    finally:
        if compiling:
            COMPILING.release()
        if making:
            _MAKING.release()


def _stream_beside(device: torch.device, others: Collection[int]) -> torch.cuda.Stream:
    """One that no lane has; where all are taken, one that none of `others` is."""
    found = [torch.cuda.Stream(device) for _ in range(_STREAMS + 1)]  # type: ignore[no-untyped-call]
    for taken in (_streams, others):
        for stream in found:
            if stream.cuda_stream not in taken:
                return stream
    raise RuntimeError(f"PyTorch gave no stream beside {len(others)} others")
