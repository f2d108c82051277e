"""A better backend compiles meanwhile and takes over; one that fails loses no frame."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo
from jobs import job
from torch import Tensor

from regseg_core import Segmenter
from regseg_core.backends.base import Backend, Compiled, Job
from regseg_core.backends.eager import Eager
from regseg_core.backends.runner import Health, Runner
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.store import EngineStore


class Slow:
    """A backend that builds when told to, and then marks what it segmented."""

    name = "slow"

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()

    def check(self, device: torch.device) -> None: ...

    def build(self, job: Job) -> Compiled:
        self.began.set()
        assert self.may_end.wait(30)
        return lambda frames: (torch.full(frames.shape[:3], 7, dtype=torch.uint8),)


class Failing:
    """A backend that runs a few frames before the GPU's memory is full."""

    name = "failing"

    def __init__(self, frames: int, builds: bool = True) -> None:
        self.frames, self.builds = frames, builds

    def check(self, device: torch.device) -> None: ...

    def build(self, job: Job) -> Compiled:
        if not self.builds:
            raise RuntimeError("no converter for aten::nothing")

        def run(frames: Tensor) -> tuple[Tensor, ...]:
            self.frames -= 1
            if self.frames < 0:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return (torch.full(frames.shape[:3], 9, dtype=torch.uint8),)

        return run


def engine_of(*backends: Backend) -> tuple[Runner, Health, Callable[[], str]]:
    health = Health()
    engine = Runner(job(GraphSpec("rgb8", 64, 64)), [*backends, Eager()], health, EngineStore())
    frame = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)

    def who() -> str:
        value = int(engine(frame)[0][0, 0, 0])
        return {7: "slow", 9: "failing"}.get(value, "eager")

    return engine, health, who


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_frames_are_segmented_while_a_better_backend_builds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = Slow()
    engine, health, who = engine_of(slow)
    with caplog.at_level(logging.INFO):
        engine.build_better(wait=False)
        until(lambda: health.building is not None)
        assert [who() for _ in range(3)] == ["eager"] * 3
        slow.may_end.set()
        until(lambda: who() == "slow")
    assert health.backend == "slow" and health.building is None and not health.failures
    assert "now running slow for 64 x 64 rgb8, float32 instead of eager" in caplog.text


def test_a_backend_that_fails_while_running_is_dropped_and_the_frame_is_segmented(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = Slow()
    engine, health, who = engine_of(Failing(2), slow)
    engine.build_better(wait=True)
    assert [who(), who()] == ["failing"] * 2
    assert who() == "eager", "the very frame that it failed on"
    slow.may_end.set()
    until(lambda: who() == "slow")
    [failure] = health.failures
    assert failure.startswith("failing failed on 64 x 64 rgb8, float32 and is dropped: CUDA out")
    assert failure in caplog.text


def test_a_better_backend_stays() -> None:
    slow, worse = Slow(), Failing(99)
    slow.may_end.set()
    engine, _, who = engine_of(slow, worse)
    for _ in range(3):
        engine.build_better(wait=True)
        assert who() == "slow"


def test_a_backend_that_cannot_be_compiled_is_left_for_the_next() -> None:
    slow = Slow()
    slow.may_end.set()
    engine, health, who = engine_of(Failing(2, builds=False), slow)
    engine.build_better(wait=True)
    assert who() == "slow"
    assert "could not be compiled: no converter for aten::nothing" in health.failures[0]


def test_a_backend_that_fails_on_two_threads_is_dropped_once() -> None:
    both_run = threading.Barrier(2)

    class FailingTwice(Failing):
        def build(self, job: Job) -> Compiled:
            def run(frames: Tensor) -> tuple[Tensor, ...]:
                both_run.wait(30)
                raise torch.OutOfMemoryError("CUDA out of memory")

            return run

    slow = Slow()
    slow.may_end.set()
    engine, health, who = engine_of(FailingTwice(0), slow)
    engine.build_better(wait=True)
    with ThreadPoolExecutor(2) as threads:
        assert {*threads.map(lambda _: who(), range(2))} <= {"eager", "slow"}
    until(lambda: who() == "slow")
    assert len(health.failures) == 1


def test_compiling_is_waited_for_that_has_begun_beside() -> None:
    slow = Slow()
    engine, health, who = engine_of(slow)
    engine.build_better(wait=False)
    until(lambda: health.building is not None)
    threading.Timer(0.3, slow.may_end.set).start()
    engine.build_better(wait=True)
    assert engine.backend == "slow" and who() == "slow"


def test_a_new_size_does_not_wait_for_another_that_compiles() -> None:
    begun, may_end = threading.Event(), threading.Event()

    class SlowAtFirst(Slow):
        def build(self, job: Job) -> Compiled:
            if job.spec.height == 32:
                begun.set()
                assert may_end.wait(30)
            return lambda frames: (torch.full(frames.shape[:3], 7, dtype=torch.uint8),)

    segment = Segmenter(device="cpu", backend=[SlowAtFirst()], cache=None)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(segment, np.zeros((32, 32, 3), np.uint8))
        assert begun.wait(30)
        assert (segment(np.zeros((48, 48, 3), np.uint8)).labels == 7).all()
        assert not first.done()
        may_end.set()
        assert (first.result(30).labels == 7).all()


def test_nothing_is_left_when_the_last_resort_fails() -> None:
    engine = Runner(job(GraphSpec("rgb8", 64, 64)), [Failing(0)], Health(), EngineStore())
    with pytest.raises(torch.OutOfMemoryError):
        engine(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))


def test_what_compiles_ends_with_the_segmenter_that_wanted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pid, script = tmp_path / "pid", tmp_path / "python"
    script.write_text(f"#!/bin/sh\necho $$ > {pid}.part; mv {pid}.part {pid}; exec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    segment = Segmenter(device="cpu", precision="float32", cache=None)
    with ThreadPoolExecutor(1) as threads:
        compiling = threads.submit(segment.compile, 64, 64)
        until(pid.exists)
        segment.close()
        assert compiling.result(30) == "eager"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not segment.health.failures and "could not be compiled" not in caplog.text
    assert segment(np.zeros((64, 64, 3), np.uint8)).labels.shape == (64, 64)
    assert segment.compile(96, 96) == "eager", "nothing is started any more"


def test_memory_of_pytorch_is_given_back_once_a_better_backend_delivers() -> None:
    class Watched(Eager):
        def build(self, job: Job) -> Compiled:
            run = super().build(job)
            alive.append(weakref.ref(run))
            return run

    alive: list[weakref.ref[Compiled]] = []
    slow = Slow()
    slow.may_end.set()
    spec = GraphSpec("rgb8", 64, 64)
    watched = Runner(job(spec), [slow, Watched()], Health(), EngineStore())
    frame = torch.zeros(spec.shape, dtype=torch.uint8)
    watched(frame)
    assert alive[0]() is not None
    watched.build_better(wait=True)
    assert (watched(frame)[0] == 7).all() and alive[0]() is None
