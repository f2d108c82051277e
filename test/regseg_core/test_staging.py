"""Frames of several callers go to the GPU side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from regseg_core import Segmenter
from regseg_core.backends import staging
from regseg_core.data.synthetic import SyntheticStreets

CPU = torch.device("cpu")


def staged() -> staging.Staged:
    return staging.Staged(lambda frames: (frames,), (1, 2, 2, 3), CPU)


def test_callers_at_once_have_a_lane_each_and_a_single_one_stays_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Lane] = []
    at_once = threading.Barrier(staging.LANES)

    class Lane:
        """Stands in for what needs a GPU."""

        def __init__(self, *_: object) -> None:
            made.append(self)
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

    def lane(*_: object) -> Callable[[Tensor], tuple[Tensor, ...]]:
        if made:
            raise torch.OutOfMemoryError("CUDA out of memory")
        made.append(1)

        def run(frames: Tensor) -> tuple[Tensor, ...]:
            time.sleep(0.01)
            return (frames,)

        return run

    monkeypatch.setattr(staging, "Lane", lane)
    run = staged()
    with ThreadPoolExecutor(4) as threads:
        assert len(list(threads.map(run, [torch.ones(1)] * 8))) == 8
    assert caplog.text.count("one after the other: CUDA out of memory") == 1


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
