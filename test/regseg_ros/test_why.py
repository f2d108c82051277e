"""Which sentence is said of a camera without masks, and when."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from clocks import FakeClock

from regseg_ros.statistics import COMPILING, OVER_RATE, TOO_OLD, FrameStatistics, Report
from regseg_ros.watch import Remark, Watch
from regseg_ros.why import COMPRESSED, IMAGE, Offer, Situation, nearest, why

TOPIC = "/camera/image_raw"
DRIVER = Offer("/usb_cam", IMAGE)


def report(*ends: tuple[str, str], masks: int = 0, lost: int = 0) -> Report:
    """Of frames that came to those ends in the last second, after so many masks."""
    clock = FakeClock()
    statistics = FrameStatistics(clock)
    for _ in range(masks):
        statistics.count("received")
        statistics.segmented(0.1)
    clock.wait(1.0)
    for what, reason in ends:
        statistics.count("received")
        if what:
            statistics.count(what, reason)
    statistics.lose(lost)
    return statistics.report()


def said(frames: Report, *offers: Offer, topic: str = TOPIC, **more: Any) -> str | None:
    more = {"expected": IMAGE, "seconds": 3.2, "report": frames, "offers": offers, **more}
    return why(Situation(topic=topic, **more))


def cause(*arguments: Any, **more: Any) -> str:
    text = said(*arguments, **more)
    assert text is not None
    start = f"no mask of {more.get('topic', TOPIC)} for 3 s: "
    assert text.startswith(start)
    return text.removeprefix(start)


def test_nobody_publishes() -> None:
    assert "start the camera driver" in cause(report())
    images = {"/rear/image_raw": IMAGE, "/camera/image_rect": IMAGE, "/x": COMPRESSED}
    text = cause(report(), images=images)
    assert text.endswith("are there: /camera/image_rect, /rear/image_raw, /x")
    many = {f"/camera{i}/image_raw": IMAGE for i in range(9)}
    assert cause(report(), images=many).endswith(" and 4 more")


def test_the_other_transport_is_there() -> None:
    packed = {f"{TOPIC}/compressed": COMPRESSED}
    text = cause(report(), images=packed)
    assert f"{TOPIC}/compressed is there: set image_transport to compressed" in text
    topic = f"{TOPIC}/compressed"
    text = cause(report(), topic=topic, expected=COMPRESSED, images={TOPIC: IMAGE})
    assert f"{TOPIC} is there: set image_transport to raw" in text


@pytest.mark.parametrize(
    ("topic", "kind", "expected", "remedy"),
    [
        (TOPIC, COMPRESSED, IMAGE, f"compressed, and remap {TOPIC}/compressed to {TOPIC}"),
        (f"{TOPIC}/compressed", COMPRESSED, IMAGE, f"image_topic to {TOPIC} and image_transport"),
        (TOPIC, IMAGE, COMPRESSED, "set image_transport to raw"),
        (TOPIC, "std_msgs/msg/String", IMAGE, "a topic of images: /rear/image_raw"),
    ],
)
def test_another_type(topic: str, kind: str, expected: str, remedy: str) -> None:
    images = {"/rear/image_raw": IMAGE}
    offer = Offer("/driver", kind)
    text = cause(report(), offer, topic=topic, expected=expected, images=images)
    assert text.startswith(f"/driver publishes {kind} on it, and {expected} is read")
    assert remedy in text


def test_a_publisher_of_the_right_type_beside_another_is_no_type_problem() -> None:
    frames = report(("refused", "no such encoding"))
    assert "refused" in cause(frames, Offer("/odd", COMPRESSED), DRIVER)


def test_quality_of_service() -> None:
    picky = Offer("/usb_cam", IMAGE, "best effort publisher and reliable subscription")
    text = cause(report(), picky)
    assert "/usb_cam does not fit (best effort publisher and reliable subscription)" in text
    assert "set qos to best_effort or auto" in text
    assert "doctor" in cause(report(), picky, DRIVER), "another publisher fits"


def test_refused_and_failed_frames() -> None:
    frames = report(("refused", "encoding 'holo9'"), ("", ""), ("refused", "encoding 'holo8'"))
    assert cause(frames, DRIVER) == "2 of 3 frames were refused: encoding 'holo8'"
    frames = report(("failed", "RuntimeError: gone"))
    assert cause(frames, DRIVER) == "1 of 1 frames could not be segmented: RuntimeError: gone"
    text = cause(frames, DRIVER, backend_failures=["tensorrt failed"])
    assert text.endswith(": tensorrt failed")
    assert "older than max_age_ms" in cause(report(("dropped", TOO_OLD)), DRIVER)


@pytest.mark.parametrize(
    ("distribution", "name"),
    [("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"), ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE")],
)
def test_the_transport_loses_frames(
    distribution: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    text = cause(report(lost=40), DRIVER)
    assert text.startswith("40 frames were lost on their way, none came whole. ")
    assert f"`export {name}=$(ros2 pkg prefix regseg_ros)/share" in text
    assert text.endswith("set qos to reliable")
    text = cause(report(lost=40), DRIVER, transport=["/dev/shm is full: rm it"])
    assert "whole. /dev/shm is full: rm it. From" in text and "export" not in text
    assert "lost" not in cause(report(("refused", "no"), lost=40), DRIVER)


def test_nothing_comes() -> None:
    text = cause(report(masks=5), DRIVER)
    assert text.startswith("/usb_cam publishes it, but no frame comes")
    assert f"doctor {TOPIC}`" in text


def test_a_backend_compiles() -> None:
    frames = report(("dropped", COMPILING), ("dropped", COMPILING))
    text = cause(frames, DRIVER, compiling="openvino for 360 x 480 bgr8", compiling_for=7.6)
    assert text.startswith("openvino for 360 x 480 bgr8 has been in the making for 8 s")
    assert "backend auto" in text


def test_the_network_is_slower_than_the_camera() -> None:
    text = cause(report(("dropped", ""), ("", ""), masks=1), DRIVER)
    assert "slower than the camera: 3.0 frames a second come, 1.0 masks go" in text
    text = cause(report(("dropped", "")), DRIVER, compiling="tensorrt for 720 x 1280 bgr8")
    assert "slower" in text, "PyTorch segments while it compiles"


def test_what_max_rate_asks_for_needs_no_words() -> None:
    assert said(report(("dropped", OVER_RATE), ("dropped", OVER_RATE)), DRIVER) is None


def test_the_nearest_name_comes_first() -> None:
    names = ["/rear/depth", "/camera/color/image_raw", "/rear/image_raw"]
    assert nearest("/camera/image_raw", names)[0] == "/camera/color/image_raw"


class Watched:
    """A camera that is asked about once a second."""

    def __init__(self, after: float = 3.0) -> None:
        self.clock = FakeClock()
        self.watch = Watch(after, self.clock)
        self.masks, self.wanted, self.reason = 0, True, "no film"
        self.remarks: list[tuple[float, Remark]] = []

    def pass_by(self, seconds: int) -> list[tuple[float, Remark]]:
        """What is said meanwhile, and after how many seconds."""
        start, said = self.clock(), []
        for _ in range(seconds):
            remark = self.watch.ask("masks", self.wanted, self.masks, lambda _: self.reason or None)
            if remark is not None:
                said.append((self.clock() - start, remark))
            self.clock.wait(1.0)
        return said


def test_one_warning_after_three_seconds_then_every_ten_and_a_line_when_it_is_over() -> None:
    camera = Watched()
    warning = Remark("no film", warning=True)
    assert camera.pass_by(20) == [(3.0, warning), (13.0, warning)]
    camera.masks += 1
    assert camera.pass_by(3) == [(0.0, Remark("masks again after 20 s", False))]
    camera.masks += 1
    assert camera.pass_by(3) == [], "there was no warning since"


def test_a_camera_that_comes_and_goes_warns_every_ten_seconds_at_most() -> None:
    camera = Watched()
    warnings = []
    for turn in range(12):
        camera.masks += 1
        warnings += [5 * turn + s for s, r in camera.pass_by(5) if r.warning]
    assert len(warnings) >= 3
    assert min(later - sooner for sooner, later in pairwise(warnings)) >= 10


def test_nothing_is_said_while_masks_come_or_nobody_wants_them() -> None:
    camera = Watched()
    for _ in range(10):
        camera.masks += 1
        assert camera.pass_by(2) == []
    camera.wanted = False
    assert camera.pass_by(30) == [] and camera.watch.wanted_for is None
    camera.wanted = True
    assert camera.pass_by(3) == [], "they are wanted for no longer"
    assert camera.watch.wanted_for == 3.0
    assert len(camera.pass_by(1)) == 1


def test_zero_seconds_ask_for_silence_and_a_camera_without_a_reason_is_not_named() -> None:
    assert Watched(after=0.0).pass_by(30) == []
    camera = Watched()
    camera.reason = ""
    assert camera.pass_by(30) == []
