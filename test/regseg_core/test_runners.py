"""Many kinds of frames share one compiler, and no frame waits for it that need not."""

from __future__ import annotations

import fcntl
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from backends import Failing, Plain, Slow, marking
from waiting import until

from regseg_core import Frame, Segmenter
from regseg_core.backends.base import Backend, BackendError, Compiled, CompilingError, Job
from regseg_core.backends.openvino import OpenVino
from regseg_core.backends.runners import COMPILE_AFTER, KEPT
from regseg_core.backends.spec import key_of


def segmenter(*backends: Backend, wait: bool = True) -> Segmenter:
    return Segmenter(device="cpu", precision="float32", backend=backends, cache=None, wait=wait)


def label(segment: Segmenter, size: int) -> int:
    """Of a frame of that many rows and columns."""
    return int(segment(np.zeros((size, size, 3), np.uint8)).labels[0, 0])


def sizes(segment: Segmenter) -> list[int]:
    return [spec.height for spec in segment.kinds()]


def test_a_named_backend_compiles_while_frames_are_told_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = Slow()
    segment = segmenter(slow, wait=False)
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            with pytest.raises(CompilingError, match="slow for 32 x 32 bgr8, float32 is not compi"):
                label(segment, 32)
        until(slow.began.is_set)
        assert segment.health.building == "slow for 32 x 32 bgr8, float32"
        slow.may_end.set()
        until(lambda: segment.health.building is None)
    assert label(segment, 32) == 7 and len(slow.built) == 1
    assert "compiling slow for 32 x 32 bgr8, float32" in caplog.text
    assert "compiled slow for 32 x 32 bgr8, float32 in " in caplog.text


def test_frames_run_one_by_one_until_their_batch_is_compiled() -> None:
    class SingleFirst(Slow):
        def build(self, job: Job) -> Compiled:
            return super().build(job) if job.spec.batch > 1 else marking(job.spec.batch)

    slow = SingleFirst()
    segment = segmenter(slow, wait=False)
    frames = [Frame.of(np.zeros((32, 32, 3), np.uint8))] * 4

    def labels() -> list[int]:
        try:
            return [int(found.labels[0, 0]) for found in segment.segment(frames)]
        except CompilingError:
            return []

    until(lambda: labels() == [1] * 4)
    assert {spec.batch for spec in slow.built} <= {2}, "the next larger one"
    slow.may_end.set()
    until(lambda: labels() == [7] * 4)


def test_a_named_backend_that_cannot_be_compiled_says_why_and_is_not_tried_again() -> None:
    for wait in (False, True):
        failing = Failing(0, builds=False)
        segment = segmenter(failing, wait=wait)
        with pytest.raises(BackendError):
            label(segment, 32)
        until(lambda: segment.health.failures)  # noqa: B023
        for _ in range(5):
            with pytest.raises(BackendError, match=r"failing for 32 x 32 .* no converter for aten"):
                label(segment, 32)
        with pytest.raises(BackendError, match="no converter for aten"):
            segment.compile(segment.spec(32, 32))
        assert failing.tried == 1


def test_a_named_backend_that_fails_on_a_frame_gets_the_next_one() -> None:
    failing = Failing(0)
    segment = segmenter(failing)
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        label(segment, 32)
    failing.frames = 9
    assert label(segment, 32) == 9


def test_frames_of_many_sizes_in_turn_are_all_segmented_and_few_are_compiled() -> None:
    slow = Slow()
    slow.may_end.set()
    segment = segmenter(slow, Plain())
    for _ in range(6):
        for size in range(20, 32):
            assert {label(segment, size) for _ in range(6)} <= {1, 7}
    until(lambda: segment.health.building is None)
    assert slow.most == 1 and len(slow.built) == KEPT, "none is compiled twice"
    # What is kept stays, and what comes in between stays with PyTorch.
    found = [label(segment, size) for size in range(20, 32)]
    assert found.count(7) == KEPT
    assert len(segment.health.running) == KEPT
    assert sizes(segment) == list(range(31, 23, -1))


def test_what_comes_often_takes_the_place_of_what_comes_no_more() -> None:
    slow = Slow()
    slow.may_end.set()
    segment = segmenter(slow, Plain())
    for size in range(20, 20 + KEPT):
        until(lambda: label(segment, size) == 7)  # noqa: B023
    for size in range(20, 20 + KEPT):
        for _ in range(20):
            label(segment, size)
    assert {label(segment, 64) for _ in range(COMPILE_AFTER + 1)} == {1}
    until(lambda: label(segment, 64) == 7)
    assert sorted(label(segment, size) for size in range(20, 20 + KEPT)) == [1] + [7] * (KEPT - 1)


def test_sizes_that_change_with_every_frame_compile_nothing() -> None:
    slow = Slow()
    segment = segmenter(slow, Plain())
    for size in range(10, 110):
        assert label(segment, size) == 1
    assert not slow.built


def test_the_kind_that_came_last_is_compiled_next_and_what_comes_no_more_not_at_all() -> None:
    slow = Slow()
    segment = segmenter(slow, Plain())
    for size in (20, 21, 22, 23):
        for _ in range(COMPILE_AFTER + 1):
            label(segment, size)
        until(slow.began.is_set)
    for _ in range(120):
        label(segment, 23)
    label(segment, 22)
    slow.may_end.set()
    until(lambda: len(slow.built) == 3 and segment.health.building is None)
    segment.close()
    assert [spec.height for spec in slow.built] == [20, 22, 23]


def test_warming_up_does_not_wait_unless_it_is_told_to(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    segment = segmenter(slow, wait=False)
    with caplog.at_level(logging.INFO):
        segment.warm_up(segment.spec(32, 32))
        until(slow.began.is_set)
        assert "warmed up" not in caplog.text
        slow.may_end.set()
        until(lambda: "warmed up for 32 x 32 bgr8, float32 in " in caplog.text)
    assert segment.health.running == {"32 x 32 bgr8, float32": "slow"}
    patient = segmenter(slow)
    patient.warm_up(patient.spec(32, 32))
    assert patient.health.running == {"32 x 32 bgr8, float32": "slow"}


def test_a_warm_up_that_fails_says_so(caplog: pytest.LogCaptureFixture) -> None:
    segment = segmenter(Failing(0, builds=False), wait=False)
    segment.warm_up(segment.spec(32, 32))
    until(lambda: "not warmed up for 32 x 32 bgr8, float32: failing" in caplog.text)


def test_close_does_not_wait_for_what_compiles_in_this_process() -> None:
    slow = Slow()
    segment = segmenter(slow, wait=False)
    segment.warm_up(segment.spec(32, 32))
    with pytest.raises(CompilingError):
        label(segment, 48)
    until(slow.began.is_set)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(segment.close).result(20)
    assert not slow.may_end.is_set()
    slow.may_end.set()
    until(lambda: segment.health.building is None)
    assert len(slow.built) == 1, "nothing is begun any more"


@pytest.mark.parametrize("wait", [False, True])
def test_close_ends_waiting_for_another_process_that_compiles(
    wait: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment = Segmenter(device="cpu", backend="openvino", cache=tmp_path, wait=wait)
    spec = segment.spec(32, 32)
    identity = segment.job(spec).identity(OpenVino())
    with (
        (tmp_path / f"{key_of(identity)}.lock").open("w") as lock,
        caplog.at_level(logging.INFO),
        ThreadPoolExecutor(1) as threads,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        compiling = threads.submit(segment.compile, spec)
        until(lambda: "waiting for another process" in caplog.text)
        segment.close()
        with pytest.raises(BackendError, match="compiling was ended"):
            compiling.result(30)
    assert not segment.health.failures


def test_failures_are_bounded() -> None:
    segment = segmenter(Failing(0, builds=False), Plain())
    for size in range(20, 20 + 2 * KEPT):
        assert segment.compile(segment.spec(size, size)) == "plain"
    assert len(segment.health.failures) == KEPT
    assert "for 35 x 35 bgr8" in segment.health.failures[-1]
