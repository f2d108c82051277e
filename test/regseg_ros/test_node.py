"""The node over real DDS, from another process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rig import Rig, image, pixels, rig, status

from regseg_core import Segmenter
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.encodings import ENCODINGS
from regseg_core.messages.uncompressed import to_frame

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("running")) as made:
        made.start()
        made.until_said("active:")
        yield made


def frame(time_of_scene: float = 0.0, size: tuple[int, int] = (480, 360)) -> npt.NDArray[np.uint8]:
    return SyntheticStreet(*size).frame(time_of_scene)[0]


@pytest.mark.xdist_group("running")
@pytest.mark.parametrize(("encoding", "padding"), [("rgb8", 0), ("bgra8", 32), ("nv12", 32)])
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
def test_an_encoding_that_opencv_converts(running: Rig, segment: Segmenter) -> None:
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
        (short, "bytes of data are fewer than step x rows"),
        (empty, "the image is 0 x 0 pixels"),
        (unknown, "encoding 'holo9' is none of"),
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
    fresh.start("-p", "lazy:=false")  # else the camera would not even be heard
    fresh.until_said("active:")
    fresh.until_connected()
    values = status(fresh)
    deadline = time.monotonic() + 60
    while int(values["unwanted"]) < 4:
        assert time.monotonic() < deadline, values
        fresh.send(image(frame(), "rgb8"))
        values = status(fresh)
    assert values["segmented"] == "0"

    labels = fresh.listen("/regseg/label")
    fresh.until_connected()
    fresh.send_until(image(frame(), "rgb8"), lambda: labels)
    values = status(fresh)
    assert int(values["segmented"]) >= 1
    assert float(values["latency p50 (ms)"]) > 0
    assert values["runs"].startswith("regseg48-camvid: regseg48, 11 classes")
    fresh.spin(5.2)
    values = status(fresh)
    assert values["level"] == DiagnosticStatus.STALE
    assert "no frames on /camera/image_raw" in values["message"]
