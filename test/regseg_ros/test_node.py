"""The node over real DDS, from another process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rig import Rig, image, pixels, rig, status

from regseg_core import Segmenter
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.encodings import ENCODINGS
from regseg_ros.frames import to_frame

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("running")) as made:
        made.start()
        made.until_said("active:")
        yield made


@pytest.fixture
def running(started: Rig) -> Iterator[Rig]:
    """A rig with an active node, which many tests share."""
    yield started
    started.forget()


@pytest.fixture(scope="module")
def segment() -> Segmenter:
    return Segmenter(backend="eager")


def frame(time_of_scene: float = 0.0, size: tuple[int, int] = (480, 360)) -> npt.NDArray[np.uint8]:
    return SyntheticStreet(*size).frame(time_of_scene)[0]


@pytest.mark.xdist_group("running")
@pytest.mark.parametrize(("encoding", "padding"), [("rgb8", 0), ("bgra8", 32), ("mono8", 32)])
def test_outputs_equal_the_segmenter(
    encoding: str, padding: int, running: Rig, segment: Segmenter
) -> None:
    topics = ("mask", "label", "confidence", "overlay")
    got = {topic: running.listen(f"/regseg/{topic}") for topic in topics}
    running.until_connected()
    given = ENCODINGS[encoding].from_rgb(frame())
    sent = running.send_until(image(given, encoding, padding), lambda: all(got.values()))

    result = segment(given, encoding, confidence=True)
    assert result.confidence is not None
    expected = {
        "mask": result.mask(),
        "label": result.labels,
        "confidence": result.confidence,
        "overlay": result.overlay(0.5),
    }
    for topic, wanted in expected.items():
        message = got[topic][0]
        assert message.header == sent.header
        assert (message.width, message.height) == (480, 360)
        assert message.encoding == ("rgb8" if wanted.ndim == 3 else "mono8")
        assert message.step == message.width * (3 if wanted.ndim == 3 else 1)
        assert np.array_equal(pixels(message), wanted), topic


@pytest.mark.xdist_group("running")
def test_an_encoding_of_cv_bridge(running: Rig, segment: Segmenter) -> None:
    masks = running.listen("/regseg/label")
    running.until_connected()
    mosaic = image(np.ascontiguousarray(frame()[..., 1]), "bayer_rggb8", padding=6)
    running.send_until(mosaic, lambda: masks)
    converted = to_frame(mosaic)
    assert np.array_equal(pixels(masks[0]), segment(converted.pixels, "bgr8").labels)


@pytest.mark.xdist_group("running")
def test_malformed_messages_are_refused_and_the_next_frame_is_segmented(running: Rig) -> None:
    masks = running.listen("/regseg/mask")
    running.until_connected()
    good = image(frame(), "rgb8")
    short, empty, unknown = (image(frame(), "rgb8") for _ in range(3))
    short.data = short.data[:-1]
    empty.height = empty.width = 0
    unknown.encoding = "holo9"
    for bad, reason in (
        (short, "bytes of data are fewer than step x height"),
        (empty, "the image is 0 x 0 pixels"),
        (unknown, "encoding 'holo9' is known neither"),
    ):
        for _ in range(3):
            running.send(bad)
            running.spin(0.1)
        running.until_said(reason)
        assert running.said().count(reason) == 1, "throttled"
    assert masks == []
    running.send_until(good, lambda: masks)
    assert masks[0].header == good.header


@pytest.mark.xdist_group("running")
def test_the_newest_frame_wins_under_overload(running: Rig) -> None:
    masks = running.listen("/regseg/mask")
    running.until_connected()
    frames = [image(frame(t, (960, 720)), "rgb8") for t in range(4)]
    for number in range(40):
        last = running.send(frames[number % 4])
        running.spin(0.01)
    running.until(lambda: masks and masks[-1].header == last.header)
    stamps = [message.header.stamp.sec for message in masks]

    assert len(masks) < 35, "a queue would have segmented all of them"
    assert stamps == sorted(set(stamps))


@pytest.mark.xdist_group("running")
def test_a_warning_that_changes_in_numbers_alone_is_throttled(running: Rig) -> None:
    running.listen("/regseg/mask")
    running.until_connected()
    before = running.said().count("is shorter than a row")
    for step in range(10, 20):
        bad = image(frame(), "bgr8")
        bad.step = step
        running.send(bad)
        running.spin(0.1)
    running.until_said("is shorter than a row")
    assert running.said().count("is shorter than a row") == before + 1


@pytest.mark.xdist_group("running")
def test_classes_and_parameters_are_described(running: Rig) -> None:
    names = ["class_names", "class_ids", "class_colors"]
    answer = running.call(
        GetParameters, "/regseg/get_parameters", GetParameters.Request(names=names)
    )
    titles, ids, colors = answer.values
    assert list(titles.string_array_value)[:4] == ["sky", "building", "pole", "road"]
    assert list(ids.integer_array_value) == list(range(11))
    assert list(colors.integer_array_value)[9:12] == [128, 64, 128]

    value = ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=["x"])
    request = SetParameters.Request(parameters=[Parameter(name="class_names", value=value)])
    (result,) = running.call(SetParameters, "/regseg/set_parameters", request).results
    assert not result.successful and "read-only" in result.reason

    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=2.0)
    request = SetParameters.Request(parameters=[Parameter(name="overlay_alpha", value=value)])
    (result,) = running.call(SetParameters, "/regseg/set_parameters", request).results
    assert not result.successful

    request = DescribeParameters.Request(names=["overlay_alpha", "image_topic"])
    alpha, topic = running.call(
        DescribeParameters, "/regseg/describe_parameters", request
    ).descriptors
    assert alpha.floating_point_range[0].to_value == 1.0 and alpha.description
    assert topic.description


def test_the_node_goes_over_to_a_compiled_graph_and_keeps_segmenting(
    fresh: Rig, tmp_path: Path
) -> None:
    fresh.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    fresh.start("-p", "backend:=auto", "-p", "precision:=float32")
    fresh.until_said("active:")
    masks = fresh.listen("/regseg/mask")
    fresh.until_connected()

    def play_until(ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not ready():
            assert time.monotonic() < deadline, fresh.said()
            fresh.send(image(frame(size=(160, 120)), "rgb8"))
            fresh.spin(0.15)

    play_until(lambda: len(masks) > 5)
    before = pixels(masks[0])
    play_until(lambda: "now running openvino for 120 x 160 rgb8" in fresh.said())
    masks.clear()
    play_until(lambda: len(masks) > 5)
    assert (pixels(masks[-1]) == before).all(axis=2).mean() > 0.9995
    found = status(fresh)
    assert "openvino" in found["runs"] and found["backend failures"] == "none"
    assert found["compiling"] == "nothing"
    assert list((tmp_path / "cache" / "regseg").glob("*.engine"))


def test_nothing_is_computed_without_a_subscriber(fresh: Rig) -> None:
    fresh.start()
    fresh.until_said("active:")
    fresh.until_connected()
    for _ in range(5):
        fresh.send(image(frame(), "rgb8"))
        fresh.spin(0.1)
    values = status(fresh)
    assert values["segmented"] == "0" and int(values["unwanted"]) >= 4

    labels = fresh.listen("/regseg/label")
    fresh.until_connected()
    fresh.send_until(image(frame(), "rgb8"), lambda: labels)
    values = status(fresh)
    assert int(values["segmented"]) >= 1
    assert float(values["latency p50 (ms)"]) > 0
    assert values["runs"].startswith("regseg48-camvid: regseg48, 11 classes")
    fresh.spin(1.2)
    values = status(fresh)
    assert values["level"] == DiagnosticStatus.WARN
    assert "no frames on /camera/image_raw" in values["message"]


def test_lifecycle_twice_over(fresh: Rig) -> None:
    fresh.start("-p", "autostart:=false")

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(fresh.call(ChangeState, "/regseg/change_state", request).success)

    def state() -> str:
        return str(
            fresh.call(GetState, "/regseg/get_state", GetState.Request()).current_state.label
        )

    masks = fresh.listen("/regseg/mask")
    assert state() == "unconfigured"
    for _ in range(2):
        assert change(Transition.TRANSITION_CONFIGURE)
        assert state() == "inactive"
        assert fresh.camera.get_subscription_count() == 0
        assert change(Transition.TRANSITION_ACTIVATE)
        assert state() == "active"
        fresh.until_connected()
        masks.clear()
        sent = fresh.send_until(image(frame(), "rgb8"), lambda: masks)
        assert masks[0].header == sent.header
        assert not change(Transition.TRANSITION_CONFIGURE), "impossible while active"
        assert state() == "active"
        assert change(Transition.TRANSITION_DEACTIVATE)
        fresh.until(lambda: fresh.camera.get_subscription_count() == 0)
        masks.clear()
        fresh.send(image(frame(), "rgb8"))
        fresh.spin(0.5)
        assert masks == []
        assert change(Transition.TRANSITION_CLEANUP)
        assert state() == "unconfigured"
        fresh.until(lambda: fresh.node.count_publishers("/regseg/mask") == 0)
    assert change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert "Traceback" not in fresh.said()


def test_a_transition_that_fails_says_why_and_can_be_tried_again(fresh: Rig) -> None:
    fresh.start("-p", "autostart:=false", "-p", "weights:=nothing")
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert not fresh.call(ChangeState, "/regseg/change_state", request).success
    fresh.until_said("configure failed: no weights 'nothing': give a file, or one of")
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="regseg48-camvid")
    change = SetParameters.Request(parameters=[Parameter(name="weights", value=value)])
    fresh.call(SetParameters, "/regseg/set_parameters", change)
    assert fresh.call(ChangeState, "/regseg/change_state", request).success


def test_a_failed_transition_leaves_nothing_behind(fresh: Rig) -> None:
    fresh.start("-p", "autostart:=false", "-p", "image_topic:=/not a topic")

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(fresh.call(ChangeState, "/regseg/change_state", request).success)

    assert change(Transition.TRANSITION_CONFIGURE)
    for _ in range(2):
        assert not change(Transition.TRANSITION_ACTIVATE)
    fresh.until_said("activate failed:", times=2)
    assert change(Transition.TRANSITION_CLEANUP)
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="/camera/image_raw")
    setting = SetParameters.Request(parameters=[Parameter(name="image_topic", value=value)])
    fresh.call(SetParameters, "/regseg/set_parameters", setting)
    assert change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)
    masks = fresh.listen("/regseg/mask")
    fresh.until_connected()
    fresh.send_until(image(frame(), "rgb8"), lambda: masks)
    assert fresh.stop() == 0


@pytest.mark.parametrize(
    ("module", "setting", "reason"),
    [
        ("segmenter", "overlay_alpha:=2.0", "overlay_alpha"),
        ("segmenter", "overlay_alpha:=high", "overlay_alpha"),
        ("video_source", "width:=16", "width"),
        ("video_source", "encoding:=holo9", "encoding 'holo9': give one of rgb8"),
        ("recorder", "rate:=-1.0", "rate"),
    ],
)
def test_wrong_parameters_end_with_one_line(
    module: str, setting: str, reason: str, fresh: Rig
) -> None:
    fresh.start("-p", setting, module=module)
    fresh.until(lambda: fresh.process and fresh.process.poll() is not None)
    assert fresh.process is not None and fresh.process.returncode == 1
    assert "error: " in fresh.said() and reason in fresh.said()
    assert "Traceback" not in fresh.said()


def test_bad_weights_end_an_autostarted_node(fresh: Rig) -> None:
    fresh.start("-p", "weights:=nothing")
    assert fresh.process is not None
    fresh.until(lambda: fresh.process and fresh.process.poll() is not None)
    assert fresh.process.returncode == 1
    assert "configure failed: no weights 'nothing'" in fresh.said()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly_in_mid_work(signal_number: int, fresh: Rig) -> None:
    fresh.start()
    fresh.until_said("active:")
    masks = fresh.listen("/regseg/mask")
    fresh.until_connected()
    fresh.send_until(image(frame(), "rgb8"), lambda: masks)
    assert fresh.process is not None
    busy = image(frame(), "rgb8")
    for number in range(1000):
        fresh.send(busy)
        fresh.spin(0.01)
        if number == 20:
            fresh.process.send_signal(signal_number)
        if fresh.process.poll() is not None:
            break
    assert fresh.process.wait(20) == 0
    assert "Traceback" not in fresh.said()


@pytest.mark.parametrize(
    ("module", "signal_number"), [("video_source", signal.SIGINT), ("recorder", signal.SIGTERM)]
)
def test_signals_end_the_other_nodes_cleanly(
    module: str, signal_number: int, fresh: Rig, tmp_path: Path
) -> None:
    given = ["-p", f"out:={tmp_path}"] if module == "recorder" else []
    fresh.start(*given, module=module)
    node = f"/{module}"
    fresh.until(lambda: node[1:] in fresh.node.get_node_names())
    fresh.spin(1.0)
    assert fresh.stop(signal_number) == 0
    assert "Traceback" not in fresh.said()
