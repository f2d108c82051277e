"""A better backend takes over once it is there; one that fails loses no frame."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch._dynamo
from backends import Failing, Slow, marking
from jobs import job
from torch import Tensor
from waiting import until

from regseg_core import Segmenter
from regseg_core.backends import breaker
from regseg_core.backends.base import Backend, Compiled, Job
from regseg_core.backends.breaker import FORGIVEN_AFTER, RESTS, Breaker
from regseg_core.backends.eager import Eager
from regseg_core.backends.health import Health
from regseg_core.backends.runner import Runner
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.store import EngineStore


def engine_of(*backends: Backend) -> tuple[Runner, Health, Callable[[], str]]:
    health = Health()
    engine = Runner(job(GraphSpec("rgb8", 64, 64)), [*backends, Eager()], health, EngineStore())
    frame = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)

    def who() -> str:
        value = int(engine(frame)[0][0, 0, 0])
        return {7: "slow", 9: "failing"}.get(value, "eager")

    return engine, health, who


def test_frames_are_segmented_while_a_better_backend_builds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = Slow()
    engine, health, who = engine_of(slow)
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(1) as threads:
        opening = threads.submit(engine.prepare)
        until(slow.began.is_set)
        assert health.building == "slow for 64 x 64 rgb8, float32"
        assert [who() for _ in range(3)] == ["eager"] * 3
        slow.may_end.set()
        opening.result(30)
    assert who() == "slow"
    assert health.backend == "slow" and health.building is None and not health.failures
    assert "now running slow for 64 x 64 rgb8, float32 instead of eager" in caplog.text
    said = [record.message for record in caplog.records]
    assert "compiling slow for 64 x 64 rgb8, float32" in said
    assert any(line.startswith("compiled slow for 64 x 64 rgb8, float32 in ") for line in said)


def test_a_backend_that_fails_once_rests_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    class FailingOnce(Failing):
        def build(self, job: Job) -> Compiled:
            run = super().build(job)

            def recovering(frames: Tensor) -> tuple[Tensor, ...]:
                try:
                    return run(frames)
                finally:
                    self.frames += 9999 * (self.frames < 0)

            return recovering

    engine, health, who = engine_of(FailingOnce(2))
    engine.prepare()
    assert [who(), who()] == ["failing"] * 2
    assert who() == "eager", "the very frame that it failed on"
    assert [who() for _ in range(RESTS[0])] == ["eager"] * RESTS[0]
    assert [who() for _ in range(20)] == ["failing"] * 20
    [failure] = health.failures
    assert failure.startswith(
        "failing failed on 64 x 64 rgb8, float32 and rests for 10 frames: CUD"
    )
    assert failure in caplog.text
    for _ in range(FORGIVEN_AFTER):
        who()
    assert not health.failures


def test_a_backend_that_always_fails_is_dropped_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker, "RESTS", (1, 2, 3))
    slow = Slow()
    slow.may_end.set()
    engine, health, who = engine_of(Failing(1), slow)
    engine.prepare()
    assert who() == "failing"
    for rests in (1, 2, 3):
        assert not engine.unfinished
        assert [who() for _ in range(1 + rests)] == ["eager"] * (1 + rests)
    assert who() == "eager" and engine.unfinished
    assert health.failures[-1].startswith("failing failed on 64 x 64 rgb8, float32 and is dropped")
    assert [who() for _ in range(5)] == ["eager"] * 5 and len(health.failures) == 4
    engine.prepare()
    assert who() == "slow"
    engine.release()
    engine.prepare()
    assert who() == "slow", "what has failed is not built again"


def test_failures_are_forgotten_after_a_long_good_time() -> None:
    breaker_ = Breaker()
    for _ in range(5):
        assert breaker_.failed() == RESTS[0]
        assert [breaker_.allows() for _ in range(RESTS[0] + 1)] == [False] * RESTS[0] + [True]
        good = [breaker_.succeeded() for _ in range(FORGIVEN_AFTER)]
        assert good == [False] * (FORGIVEN_AFTER - 1) + [True]
    assert [breaker_.failed() for _ in range(3)] == [RESTS[0], 0, 0], "of several threads at once"


def test_a_better_backend_stays() -> None:
    slow, worse = Slow(), Failing(99)
    slow.may_end.set()
    engine, _, who = engine_of(slow, worse)
    for _ in range(3):
        engine.prepare()
        assert who() == "slow"


def test_a_backend_that_cannot_be_compiled_is_left_for_the_next() -> None:
    slow = Slow()
    slow.may_end.set()
    engine, health, who = engine_of(Failing(2, builds=False), slow)
    engine.prepare()
    assert who() == "slow"
    assert "could not be compiled: no converter for aten::nothing" in health.failures[0]


def test_a_backend_that_fails_on_two_threads_has_failed_once() -> None:
    both_run = threading.Barrier(2)

    class FailingTwice(Failing):
        def build(self, job: Job) -> Compiled:
            warm = threading.Event()

            def run(frames: Tensor) -> tuple[Tensor, ...]:
                if not warm.is_set():  # before it takes over
                    warm.set()
                    return marking(9)(frames)
                both_run.wait(30)
                raise torch.OutOfMemoryError("CUDA out of memory")

            return run

    engine, health, who = engine_of(FailingTwice(0))
    engine.prepare()
    with ThreadPoolExecutor(2) as threads:
        assert [*threads.map(lambda _: who(), range(2))] == ["eager"] * 2
    assert len(health.failures) == 1


def test_compiling_is_waited_for_that_has_begun_beside() -> None:
    slow = Slow()
    engine, _, who = engine_of(slow)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(engine.prepare)
        until(slow.began.is_set)
        threading.Timer(0.3, slow.may_end.set).start()
        engine.prepare()
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
    watched.prepare()
    assert (watched(frame)[0] == 7).all() and alive[0]() is None
