"""What became of a camera's frames."""

from __future__ import annotations

import threading

import pytest
from clocks import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from regseg_ros.statistics import (
    COMPILING,
    COUNTS,
    DROPS,
    LOST,
    OVER_RATE,
    REPLACED,
    FrameStatistics,
    percentiles,
)

ENDS = st.sampled_from(COUNTS[1:])


def end(statistics: FrameStatistics, what: str, why: str = "") -> None:
    if what == "segmented":
        statistics.segmented(0.02)
    else:
        statistics.count(what, why)


@given(st.lists(st.tuples(ENDS, st.sampled_from(DROPS), st.floats(0, 30), st.booleans())))
def test_every_frame_is_in_one_count(frames: list[tuple[str, str, float, bool]]) -> None:
    clock = FakeClock()
    statistics, in_work = FrameStatistics(clock), 0
    for what, why, pause, ends in frames:
        statistics.count("received")
        in_work += not ends
        clock.wait(pause)
        if ends:
            end(statistics, what, why)
        report = statistics.report()
        for counts in (report.totals, report.recent, report.since_mask):
            assert min(counts.values()) >= 0
        assert report.in_work == in_work
        assert report.totals["dropped"] == sum(report.totals[reason] for reason in DROPS)
        assert 0 <= report.drop_share <= 1
    assert statistics.report().totals["received"] == len(frames)


def test_threads_lose_no_frame() -> None:
    statistics = FrameStatistics()

    def work(what: str) -> None:
        for _ in range(2000):
            statistics.count("received")
            end(statistics, what)

    threads = [threading.Thread(target=work, args=(what,)) for what in COUNTS[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = statistics.report()
    assert [report.totals[what] for what in COUNTS] == [10000, *[2000] * 5]
    assert report.in_work == 0


@pytest.mark.parametrize("rate", [0.5, 1.0, 15.0])
def test_rates_do_not_flip_between_two_frames(rate: float) -> None:
    clock = FakeClock()
    statistics = FrameStatistics(clock)
    rates = []
    next_frame = next_report = 0.0
    for step in range(4000):
        now = step * 0.01
        clock.now = 100 + now
        if now >= next_frame:
            statistics.count("received")
            statistics.segmented(0.03)
            next_frame += 1 / rate
        if now >= next_report:
            rates.append(statistics.report().rate("segmented"))
            next_report += 1.0
    settled = rates[11:]
    assert min(settled) >= 0.75 * rate and max(settled) <= 1.25 * rate


def test_rates_forget_what_is_long_ago() -> None:
    clock = FakeClock()
    statistics = FrameStatistics(clock)
    for _ in range(50):
        statistics.count("received")
        statistics.segmented(0.5)
    for _ in range(12):
        clock.wait(1.0)
        report = statistics.report()
    assert report.rate("received") == 0 and report.latencies == []
    assert report.totals["received"] == 50 and len(report.last_latencies) == 50
    assert report.silence == 12


def test_what_came_since_the_last_mask() -> None:
    clock = FakeClock()
    statistics = FrameStatistics(clock)
    statistics.count("received")
    assert statistics.report().unanswered == 0
    clock.wait(2.0)
    assert statistics.report().unanswered == 2.0
    statistics.segmented(2.0)
    clock.wait(60.0)
    assert statistics.report().unanswered == 0, "no frame waits"
    statistics.count("received")
    statistics.count("refused", "too thin")
    statistics.lose(7)
    clock.wait(1.0)
    report = statistics.report()
    assert (report.since_mask["received"], report.since_mask["refused"]) == (1, 1)
    assert report.since_mask[LOST] == 7 and report.last_refusal == "too thin"
    assert report.unanswered == 1.0


def test_drops_that_max_rate_asks_for_are_no_share() -> None:
    statistics = FrameStatistics(FakeClock())
    for why in [OVER_RATE] * 20 + [REPLACED, COMPILING]:
        statistics.count("received")
        statistics.count("dropped", why)
    for _ in range(6):
        statistics.count("received")
        statistics.segmented(0.1)
    assert statistics.report().drop_share == 2 / 8


def test_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles([0.1] * 99 + [1.0]) == pytest.approx({50: 100, 95: 100, 99: 109})
