"""Frames of several callers go to the GPU side by side."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from fake_cuda import FakeCuda
from torch import Tensor

from regseg_core import Segmenter
from regseg_core.backends import staging
from regseg_core.backends.base import COMPILING, Compiled
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.device import tune

CPU = torch.device("cpu")


def double(frames: Tensor) -> tuple[Tensor, ...]:
    return (2 * frames,)


def staged(compiled: Compiled = double) -> staging.Staged:
    return staging.Staged(compiled, (1, 2, 2, 3), CPU)


def test_callers_at_once_have_a_lane_each_and_a_single_one_stays_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Lane] = []
    at_once = threading.Barrier(staging.LANES)

    class Lane:
        """Stands in for what needs a GPU."""

        def __init__(self, *_: object) -> None:
            made.append(self)
            self.stream = len(made)
            self.busy = threading.Lock()

        def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
            assert self.busy.acquire(blocking=False), "two frames in one lane"
            if frames.sum():
                at_once.wait(20)  # passes only where as many frames as lanes are under way
            self.busy.release()
            return (frames,)

    monkeypatch.setattr(staging, "Lane", Lane)
    run = staged()
    for _ in range(3):
        run(torch.zeros(1))
    assert len(made) == 1
    with ThreadPoolExecutor(3 * staging.LANES) as threads:
        list(threads.map(run, [torch.ones(1)] * 6 * staging.LANES))
    assert len(made) == staging.LANES


def test_without_memory_for_a_second_lane_frames_take_turns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[object] = []

    class Lane:
        stream = 0

        def __init__(self, *_: object) -> None:
            if made:
                raise torch.OutOfMemoryError("CUDA out of memory")
            made.append(self)

        def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
            time.sleep(0.01)
            return (frames,)

    monkeypatch.setattr(staging, "Lane", Lane)
    run = staged()
    with ThreadPoolExecutor(4) as threads:
        assert len(list(threads.map(run, [torch.ones(1)] * 8))) == 8
    assert caplog.text.count("one after the other: CUDA out of memory") == 1


FRAMES = torch.arange(12, dtype=torch.uint8).reshape(1, 2, 2, 3)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    monkeypatch.setattr(staging, "recording_failed", threading.Event())
    return FakeCuda(monkeypatch, order=(0, 1))


def test_a_graph_is_recorded_once_and_replayed(cuda: FakeCuda) -> None:
    run = staged(double)
    run(FRAMES), run(FRAMES)
    assert (cuda.recordings, cuda.replays) == (1, 2)


def test_before_it_is_recorded_a_graph_has_run_in_that_thread(cuda: FakeCuda) -> None:
    """cuDNN times its kernels for each thread anew, which a recording does not survive."""
    runs: list[tuple[int, int]] = []

    def compiled(frames: Tensor) -> tuple[Tensor, ...]:
        runs.append((threading.get_ident(), cuda.recordings))
        return double(frames)

    with COMPILING:
        run = staged(compiled)
    runs.clear()

    def live() -> int:
        run(FRAMES)
        return threading.get_ident()

    with ThreadPoolExecutor(1) as threads:
        there = threads.submit(live).result(20)
    assert runs == [(there, 0), (there, 1)]


def test_after_a_recording_that_fails_none_is_begun_in_this_process_and_frames_go_on(
    cuda: FakeCuda, caplog: pytest.LogCaptureFixture
) -> None:
    cuda.error = RuntimeError("CUDA error: operation not permitted when stream is capturing")
    first = staged(double)
    second = staged(double)
    for run in (first, second):
        for _ in range(3):
            assert torch.equal(run(FRAMES)[0], 2 * FRAMES)
    assert (cuda.recordings, cuda.replays) == (1, 0)
    assert caplog.text.count("nothing more is recorded") == 1


def test_what_says_that_it_cannot_be_recorded_is_not(cuda: FakeCuda) -> None:
    asked: list[int] = []

    class Engine:
        def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
            return double(frames)

        def can_be_recorded(self) -> bool:
            asked.append(cuda.current)
            return False

    run = staged(Engine())
    assert torch.equal(run(FRAMES)[0], 2 * FRAMES)
    assert cuda.recordings == 0 and asked == cuda.streams[:1], "asked on the lane's stream"
    assert not staging.recording_failed.is_set()


class Watched:
    """A graph that tells on which streams it ran, and runs again meanwhile if it is asked to."""

    def __init__(self, cuda: FakeCuda) -> None:
        self.streams: set[int] = set()
        self._cuda = cuda
        self._meanwhile: list[staging.Staged] = []

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        self.streams.add(self._cuda.current)
        if self._meanwhile:  # another thread's frame comes, and needs a lane of its own
            with ThreadPoolExecutor(1) as other:
                other.submit(self._meanwhile.pop(), FRAMES).result(20)
        return double(frames)

    def twice_at_once(self, run: staging.Staged) -> None:
        self._meanwhile.append(run)
        run(FRAMES)


def test_lanes_of_one_graph_never_share_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch, order=(0, 0, 0, 1))  # PyTorch hands them out in turn
    monkeypatch.setattr(staging, "recording_failed", threading.Event())
    graph = Watched(cuda)
    with staging.nothing_recorded():
        run = staged(graph)
        assert graph.streams == {cuda.streams[0]}
        graph.twice_at_once(run)
    assert graph.streams == set(cuda.streams)


def test_nor_do_they_after_another_graph_that_shared_one_is_dropped(cuda: FakeCuda) -> None:
    with staging.nothing_recorded():
        graphs = [Watched(cuda) for _ in range(3)]
        runs = [staged(graph) for graph in graphs]
        (first,), (second,), (third,) = (graph.streams for graph in graphs)
        assert first == third != second
        del runs[0]
        gc.collect()
        graphs[2].twice_at_once(runs[-1])
    assert graphs[2].streams == set(cuda.streams)


def test_while_a_lane_is_made_no_other_thread_records(cuda: FakeCuda) -> None:
    """Libraries wait for the whole GPU when they first run, which would spoil a recording."""
    begun, go_on = threading.Event(), threading.Event()
    with COMPILING:  # the first lane is not recorded yet
        run = staged(double)
    assert cuda.recordings == 0

    def slow(frames: Tensor) -> tuple[Tensor, ...]:
        begun.set()
        go_on.wait(20)
        return double(frames)

    with ThreadPoolExecutor(1) as threads:
        making = threads.submit(staged, slow)
        assert begun.wait(20)
        assert torch.equal(run(FRAMES)[0], 2 * FRAMES) and cuda.recordings == 0
        go_on.set()
        making.result(20)
    run(FRAMES)
    assert cuda.recordings == 2 and cuda.replays == 1


def test_on_a_gpu_cudnn_times_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    tune(torch.device("cpu"))
    assert not torch.backends.cudnn.benchmark
    tune(torch.device("cuda"))
    assert torch.backends.cudnn.benchmark


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_on_a_gpu_threads_get_their_own_frames_labels(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed: set[torch.cuda.CUDAGraph] = set()
    replay = torch.cuda.CUDAGraph.replay

    def seen(graph: torch.cuda.CUDAGraph) -> None:
        replayed.add(graph)
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", seen)
    segment = Segmenter(device="cuda", backend=backend, cache=None)
    streets = [SyntheticStreets(4, 160, 120)[place][0] for place in range(4)]
    exact = Segmenter(device="cpu", precision="float32", backend="eager", cache=None)

    def works(place: int) -> bool:
        found = [segment(streets[place], "rgb8").labels for _ in range(50)]
        assert all(np.array_equal(labels, found[0]) for labels in found)
        return bool((found[0] == exact(streets[place], "rgb8").labels).mean() > 0.99)

    with ThreadPoolExecutor(4) as threads, torch.inference_mode():
        assert list(threads.map(works, range(4))) == [True] * 4
    assert len(replayed) == staging.LANES, "each lane has recorded a graph of its own"
