"""A GPU that dies while frames come: they are segmented on the CPU."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from regseg_core import Frame, Segmenter, device, segmenter, zoo
from regseg_core.backends.base import COMPILING, Compiled, Job
from regseg_core.backends.eager import Eager
from regseg_core.backends.lost import is_lost
from regseg_core.backends.runners import COMPILE_AFTER
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.errors import ArgumentError

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


@pytest.fixture(autouse=True)
def nothing_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with all GPUs alive."""
    monkeypatch.setattr(device, "lost_gpus", set())


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


class Gpu:
    """Whose `synchronize` raises these errors in turn, and then no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
        self.errors, self.asked = list(errors), 0
        monkeypatch.setattr(torch.cuda, "synchronize", self)

    def __call__(self, device: torch.device) -> None:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)


CAPTURE = torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing")


@pytest.mark.parametrize(
    ("errors", "lost"),
    [
        ([ILLEGAL, ILLEGAL], True),
        ([ILLEGAL], False),  # it works again
        ([MEMORY, MEMORY], False),
        ([CAPTURE, CAPTURE], False),  # another thread records
        ([], False),
    ],
)
def test_a_gpu_is_lost_when_it_cannot_even_be_waited_for(
    errors: list[Exception], lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpu(monkeypatch, *errors)
    assert is_lost(CUDA) is lost


def test_a_gpu_is_not_waited_for_while_something_compiles_or_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = Gpu(monkeypatch, ILLEGAL, ILLEGAL)
    with COMPILING:
        assert not is_lost(CUDA)
    assert not is_lost(torch.device("cpu")) and gpu.asked == 0
    assert is_lost(CUDA)


def test_without_its_weights_it_tries_again_with_the_next_frame(
    dying: Dying, frame: Frame, tmp_path: Path
) -> None:
    shipped, weights = zoo.find(zoo.DEFAULT), tmp_path / "w.safetensors"
    shutil.copy(shipped, weights)
    segment = Segmenter(weights, "cpu", precision="float32", backend=[dying], cache=None)
    expected = segment.segment([frame])[0].labels
    dying.error = ILLEGAL
    weights.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        segment.segment([frame])
    (tmp_path / "away").rename(weights)
    assert (segment.segment([frame])[0].labels == expected).mean() > 0.99
    segment.close()


def test_one_that_was_closed_stays_closed(dying: Dying, frame: Frame) -> None:
    segment = Segmenter(device="cpu", precision="float32", backend=[dying], cache=None)
    segment.segment([frame])
    segment.close()
    dying.error = ILLEGAL
    for _ in range(COMPILE_AFTER + 2):
        segment.segment([frame])
    assert segment.health.backend == "eager" and segment.health.building is None


def test_the_process_is_without_gpus_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: pytest.fail("CUDA was called"))
    device.give_up(CUDA)
    assert device.choose_device("auto") == torch.device("cpu")
    with pytest.raises(ArgumentError, match="it has died; start the process again"):
        device.choose_device("cuda:0")
    device.trim_memory()
