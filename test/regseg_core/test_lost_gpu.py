"""A GPU that dies while frames come: they are segmented on the CPU."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from regseg_core import Frame, Segmenter, segmenter
from regseg_core.backends.base import Compiled, Job
from regseg_core.backends.eager import Eager
from regseg_core.backends.lost import is_lost
from regseg_core.data.synthetic import SyntheticStreets

CUDA = torch.device("cuda", 0)
#: As PyTorch raises it, from the kernel that fails and from every call after it.
ILLEGAL = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
MEMORY = torch.OutOfMemoryError("CUDA out of memory")


class Dying:
    """PyTorch, until `error` is set."""

    name = "dying"

    def __init__(self) -> None:
        self.error: Exception | None = None

    def check(self, device: torch.device) -> None: ...

    def build(self, job: Job) -> Compiled:
        alive = Eager().build(job)

        def run(frames: Tensor) -> tuple[Tensor, ...]:
            if self.error is not None:
                raise self.error
            return alive(frames)

        return run


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Dying:
    backend = Dying()
    monkeypatch.setattr(segmenter, "is_lost", lambda device: backend.error is ILLEGAL)
    return backend


@pytest.fixture
def frame() -> Frame:
    return Frame.of(SyntheticStreets(1, 96, 64)[0][0], "rgb8")


def test_frames_go_on_on_the_cpu_and_it_is_said_once(
    dying: Dying, frame: Frame, caplog: pytest.LogCaptureFixture
) -> None:
    segment = Segmenter(device="cpu", precision="float32", backend=[dying], cache=None)
    before = segment.segment([frame])[0].labels
    dying.error = ILLEGAL
    for _ in range(2):
        after = segment.segment([frame, frame], confidence=True)
        assert all((result.labels == before).mean() > 0.99 for result in after)
    errors = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    (said,) = errors
    assert "is lost, the CPU segments until the next start: CUDA error: an illegal" in said
    assert segment.health.failures[-1] == said
    assert segment.health.backend == "eager" and "on cpu" in segment.description
    segment.close()


def test_threads_that_meet_it_together_all_get_their_labels(dying: Dying, frame: Frame) -> None:
    segment = Segmenter(device="cpu", precision="float32", backend=[dying], cache=None)
    expected = segment.segment([frame])[0].labels
    dying.error = ILLEGAL
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: segment.segment([frame])[0].labels, range(8)))
    assert all(np.mean(labels == expected) > 0.99 for labels in found)
    assert sum("is lost" in failure for failure in segment.health.failures) == 1
    segment.close()


def test_a_frame_that_lacks_memory_is_no_lost_gpu(dying: Dying, frame: Frame) -> None:
    segment = Segmenter(device="cpu", precision="float32", backend=[dying], cache=None)
    segment.segment([frame])
    dying.error = MEMORY
    with pytest.raises(torch.OutOfMemoryError):
        segment.segment([frame])
    dying.error = None
    segment.segment([frame])
    assert segment.health.backend == "dying" and segment.health.failures == []


def test_a_gpu_is_lost_when_it_cannot_even_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def synchronize(device: torch.device) -> None:
        asked.append(device)
        raise ILLEGAL

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert is_lost(CUDA) and asked == [CUDA]
    assert not is_lost(torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    assert not is_lost(CUDA)
