"""What a camera's figures mean."""

from __future__ import annotations

import pytest
from clocks import FakeClock
from diagnostic_msgs.msg import DiagnosticStatus

from regseg_core.backends.health import Health
from regseg_ros.diagnostics import judge, status_message, status_name, summary
from regseg_ros.settings import Thresholds
from regseg_ros.statistics import COMPILING, OVER_RATE, FrameStatistics

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)
TOPIC = "/camera/image_raw"


class Camera:
    """Frames, and what is said of them; masks are wanted from the start."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.statistics = FrameStatistics(self.clock)
        self.health = Health(backend="eager")
        self.started = self.clock()

    def frame(self, what: str = "segmented", why: str = "", latency: float = 0.02) -> None:
        self.statistics.count("received")
        if what == "segmented":
            self.statistics.segmented(latency)
        else:
            self.statistics.count(what, why)

    def judged(self, **limits: float) -> tuple[bytes, str]:
        wanted_for = self.clock() - self.started
        thresholds = Thresholds(**limits)
        return judge(self.statistics.report(), thresholds, TOPIC, wanted_for, self.health)


def test_half_a_frame_a_second_is_ok_all_the_time() -> None:
    camera = Camera()
    for second in range(40):
        if second % 2 == 0:
            camera.frame()
        assert camera.judged()[0] == OK
        camera.clock.wait(1.0)


def test_a_camera_that_falls_silent_is_stale() -> None:
    camera = Camera()
    assert camera.judged() == (OK, "waiting for frames")
    camera.clock.wait(5.5)
    assert camera.judged() == (STALE, f"no frames on {TOPIC} for 6 s")
    camera.frame()
    assert camera.judged() == (OK, "segmenting")
    camera.clock.wait(30.0)
    assert camera.judged(stale_after=60.0)[0] == OK


def test_it_is_idle_while_nobody_wants_masks() -> None:
    camera = Camera()
    camera.clock.wait(100.0)
    report = camera.statistics.report()
    level, message = judge(report, Thresholds(), TOPIC, None, camera.health)
    assert level == OK and message.startswith("idle")
    level, message = judge(report, Thresholds(), TOPIC, 0.5, camera.health)
    assert level == OK, "somebody has just subscribed"


@pytest.mark.parametrize(
    ("what", "why", "message"),
    [
        ("refused", "encoding 'holo9'", "frames arrive, none is segmented: encoding 'holo9'"),
        ("failed", "RuntimeError: no", "frames arrive, none is segmented: RuntimeError: no"),
        ("dropped", "", "frames arrive, none is segmented"),
    ],
)
def test_frames_without_a_mask_are_an_error(what: str, why: str, message: str) -> None:
    camera = Camera()
    for _ in range(45):
        camera.frame(what, why)
        camera.clock.wait(0.1)
    assert camera.judged() == (ERROR, message)


def test_a_backend_that_compiles_is_a_warning() -> None:
    camera = Camera()
    camera.health.compiling["openvino for 360 x 480 bgr8"] = camera.clock()
    for _ in range(45):
        camera.frame("dropped", COMPILING)
        camera.clock.wait(0.1)
    level, message = camera.judged()
    assert level == WARN and "openvino for 360 x 480 bgr8" in message


def test_thresholds() -> None:
    camera = Camera()
    for number in range(120):
        camera.frame("dropped" if number % 4 else "segmented", latency=0.2)
        camera.clock.wait(0.1)
        camera.statistics.report()
    assert camera.judged(warn_dropped=1.0) == (OK, "segmenting")
    assert camera.judged() == (WARN, "75% of the frames dropped, over warn_dropped 0.5")
    level, message = camera.judged(warn_dropped=1.0, warn_rate=5.0)
    assert level == WARN and message == "2.5 masks a second, under warn_rate 5"
    level, message = camera.judged(warn_dropped=1.0, warn_latency_ms=150.0)
    assert level == WARN and message == "latency p95 200 ms, over warn_latency_ms 150"


def test_drops_that_max_rate_asks_for_are_no_warning() -> None:
    camera = Camera()
    for number in range(60):
        camera.frame("dropped" if number % 6 else "segmented", OVER_RATE)
        camera.clock.wait(0.1)
    assert camera.judged() == (OK, "segmenting")


def test_one_frame_in_five_seconds_is_ok_between_two_masks_where_max_rate_asks_for_it() -> None:
    camera = Camera()
    for number in range(120):
        camera.frame("dropped" if number % 50 else "segmented", OVER_RATE)
        camera.clock.wait(0.1)
        assert camera.judged() == (OK, "segmenting")
    camera.statistics.count("received")  # one that is to be segmented, and is not
    for _ in range(35):
        camera.frame("dropped", OVER_RATE)
        camera.clock.wait(0.1)
    assert camera.judged() == (ERROR, "frames arrive, none is segmented")


def test_frames_that_the_transport_loses_are_a_warning() -> None:
    camera = Camera()
    camera.frame()
    camera.statistics.lose(1)
    assert camera.judged() == (OK, "segmenting")
    camera.statistics.lose(2)
    assert camera.judged() == (WARN, "75% of the frames lost, over warn_dropped 0.5")


def test_a_refused_frame_among_good_ones_and_a_failed_backend_are_warnings() -> None:
    camera = Camera()
    camera.frame("refused", "step is short")
    camera.frame()
    assert camera.judged() == (WARN, "1 frames refused of late: step is short")
    camera = Camera()
    camera.health.failures.append("openvino could not be compiled: no")
    camera.frame()
    assert camera.judged() == (WARN, "backend failed: openvino could not be compiled: no")


def test_a_status_says_everything() -> None:
    camera = Camera()
    camera.frame()
    camera.frame("refused", "step is short")
    name = status_name("/robot/regseg", "front")
    report = camera.statistics.report()
    status = status_message(
        report, Thresholds(), name, TOPIC, 1.0, "eager float32 on cpu", camera.health
    )
    assert status.name == "/robot/regseg: segmentation of front"
    assert status_name("/regseg", "") == "/regseg: segmentation"
    assert status.hardware_id == TOPIC
    values = {entry.key: entry.value for entry in status.values}
    assert values["received"] == "2" and values["segmented"] == values["refused"] == "1"
    assert values["in work"] == "0" and values["last refusal"] == "step is short"
    assert values["latency p95 (ms)"] == "20.0" and values["compiling"] == "nothing"
    assert {"input rate (Hz)", "output rate (Hz)", "runs", "backend failures"} <= values.keys()


def test_a_summary_is_a_line() -> None:
    camera = Camera()
    assert summary(TOPIC, camera.statistics.report(), "eager").startswith(f"0 frames of {TOPIC}")
    camera.frame()
    camera.frame("dropped")
    assert summary(TOPIC, camera.statistics.report(), "eager") == (
        f"2 frames of {TOPIC} received: 1 segmented, 1 dropped, 0 unwanted, 0 refused, 0 failed;"
        " latency p50 20 ms, p95 20 ms, by eager"
    )
