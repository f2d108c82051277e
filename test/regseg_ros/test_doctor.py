"""The doctor, and what it says of cameras that publish over DDS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rig import Rig, image, rig
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from regseg_ros.doctor import machine
from regseg_ros.doctor.__main__ import main
from regseg_ros.doctor.topics import Heard, stamps
from regseg_ros.doctor.verdict import Level, Verdict, fail, ok, show, warn

GRAY = image(np.zeros((24, 32, 3), np.uint8), "rgb8")


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig in whose domain cameras of all kinds publish."""
    with rig(tmp_path_factory.mktemp("doctor")) as made:
        yield made


@contextmanager
def repeating(publish: Callable[[], None]) -> Iterator[None]:
    """Twenty times a second, from another thread."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.05):
            publish()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def stamped(node: Node, age: float) -> Time:
    """So many seconds ago."""
    seconds, rest = divmod(node.get_clock().now().nanoseconds - int(age * 1e9), 10**9)
    return Time(sec=seconds, nanosec=rest)


@contextmanager
def publishing(node: Node, topic: str, age: float = 0.0, encoding: str = "rgb8") -> Iterator[None]:
    """Frames whose stamps are so many seconds old."""
    publisher = node.create_publisher(Image, topic, 5)
    message = Image(height=GRAY.height, width=GRAY.width, step=GRAY.step, data=GRAY.data)
    message.encoding = encoding

    def publish() -> None:
        message.header.stamp = stamped(node, age)
        publisher.publish(message)

    with repeating(publish):
        yield
    node.destroy_publisher(publisher)


@pytest.fixture
def doctor(cameras: Rig, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def examined(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--seconds", "1.0"])
        return int(ended.value.code or 0), capsys.readouterr().out

    return examined


@pytest.mark.integration
@pytest.mark.xdist_group("doctor")
class TestCameras:
    def test_a_good_one(self, cameras: Rig, doctor: Callable[..., tuple[int, str]]) -> None:
        with publishing(cameras.node, "/good/image_raw"):
            code, said = doctor("/good/image_raw")
        assert code == 0, said
        assert "OK    frames     /good/image_raw: " in said and "32 x 24 rgb8" in said
        assert "OK    stamps     /good/image_raw: " in said
        for subject in ("weights", "device", "backend", "cache", "transport"):
            assert f"  {subject}" in said

    def test_old_stamps_and_an_unknown_encoding(
        self, cameras: Rig, doctor: Callable[..., tuple[int, str]]
    ) -> None:
        with publishing(cameras.node, "/old/image_raw", age=5.0, encoding="holo9"):
            code, said = doctor("/old/image_raw")
        assert code == 1
        assert "FAIL  stamps     /old/image_raw: 5.0 s behind this clock" in said
        assert "FAIL  frames     /old/image_raw: " in said
        assert "frames would be refused: encoding 'holo9'" in said

    def test_another_type(self, cameras: Rig, doctor: Callable[..., tuple[int, str]]) -> None:
        publisher = cameras.node.create_publisher(CompressedImage, "/packed/image_raw", 1)
        code, said = doctor("/packed/image_raw")
        assert code == 1
        assert (
            "FAIL  topic      /packed/image_raw: /audience publishes sensor_msgs/msg/Comp" in said
        )
        assert "set image_transport to compressed" in said
        cameras.node.destroy_publisher(publisher)

    def test_nobody_publishes(self, doctor: Callable[..., tuple[int, str]]) -> None:
        code, said = doctor("/camera/image_rect")
        assert code == 1
        assert "FAIL  topic      /camera/image_rect: nobody publishes it" in said
        assert "that are there: /camera/image_raw" in said

    def test_a_running_node_says_where_to_look(
        self, cameras: Rig, doctor: Callable[..., tuple[int, str]]
    ) -> None:
        publisher = cameras.node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        status = DiagnosticStatus(level=DiagnosticStatus.STALE, message="no frames")
        status.name, status.hardware_id = "/robot/regseg: segmentation of front", "/front/image"
        with repeating(lambda: publisher.publish(DiagnosticArray(status=[status]))):
            code, said = doctor()
        assert code == 1
        assert "FAIL  node       /robot/regseg: segmentation of front: no frames" in said
        assert "FAIL  topic      /front/image: nobody publishes it" in said
        assert "/camera/image_raw: " not in said
        cameras.node.destroy_publisher(publisher)

    def test_stamps_of_a_simulator(
        self, cameras: Rig, doctor: Callable[..., tuple[int, str]]
    ) -> None:
        publisher = cameras.node.create_publisher(Clock, "/clock", 1)
        age = cameras.node.get_clock().now().nanoseconds * 1e-9 - 12.0

        def tick() -> None:
            publisher.publish(Clock(clock=stamped(cameras.node, age)))

        with repeating(tick), publishing(cameras.node, "/simulated/image_raw", age):
            code, said = doctor("/simulated/image_raw")
        assert code == 0, said
        assert "OK    clock      /clock is published" in said and "set use_sim_time" in said
        assert "OK    stamps     /simulated/image_raw: " in said
        cameras.node.destroy_publisher(publisher)

    def test_all_topics_and_a_reader_that_asks_for_too_much(
        self, cameras: Rig, doctor: Callable[..., tuple[int, str]]
    ) -> None:
        effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        sloppy = cameras.node.create_publisher(Image, "/sloppy/image_raw", effort)
        reader = cameras.node.create_subscription(Image, "/sloppy/image_raw", print, 1)
        code, said = doctor()
        assert code == 1
        assert "FAIL  QoS        /sloppy/image_raw: /audience does not hear /audience" in said
        assert "FAIL  topic      /camera/image_raw: /audience publishes it, but no frame" in said
        cameras.node.destroy_subscription(reader)
        cameras.node.destroy_publisher(sloppy)


def frames(*stamps_: float, late: float = 0.02) -> list[Heard]:
    return [Heard(stamp + late, stamp, "32 x 24 rgb8", 2304) for stamp in stamps_]


@pytest.mark.parametrize(
    ("heard", "level", "text"),
    [
        (frames(10.0, 10.1), Level.OK, "20 ms old"),
        (frames(10.0, 10.1, late=-7.0), Level.FAIL, "7.0 s ahead of this clock"),
        (frames(10.0, 10.1, late=3.0), Level.FAIL, "3.0 s behind this clock"),
        (frames(10.1, 10.0, 10.1, 10.0), Level.FAIL, "went back 2 times"),
        (frames(0.0, 0.0, late=1.7e9), Level.FAIL, "all are 0"),
    ],
)
def test_stamps(heard: list[Heard], level: Level, text: str) -> None:
    verdict = stamps("/t", heard)
    assert verdict.level is level and text in verdict.text


def test_the_exit_code_is_of_the_worst(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([ok("a", "fine"), warn("b", "hm")]) == 0
    assert show([fail("transport", "no"), ok("a", "fine")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["FAIL  transport  no", "OK    a          fine"]


def test_a_cache_that_cannot_be_written(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_cache() -> Verdict:
        return next(verdict for verdict in machine.verdicts() if verdict.subject == "cache")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert of_cache().level is Level.OK and "0 engines" in of_cache().text
    monkeypatch.setenv("XDG_CACHE_HOME", __file__)
    assert of_cache().level is Level.WARN and "XDG_CACHE_HOME" in of_cache().text
