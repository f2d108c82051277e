"""What goes out beside the images: compressed ones, and the camera's calibration."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import LifecycleNode
from rig import Rig, image, pixels, rig, status
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from regseg_core import Segmenter
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.outputs import OUTPUTS
from regseg_ros.publishing import publisher

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("outputs")]

FRAME = SyntheticStreets(1, 96, 64)[0][0]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("outputs")) as made:
        made.start()
        made.until_said("active:")
        yield made


def decoded(message: CompressedImage) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    read = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    found = read if read.ndim == 2 else cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
    return found.astype(np.uint8, copy=False)


def test_compressed_outputs_hold_the_same_pixels(running: Rig, segment: Segmenter) -> None:
    names = ("mask", "label", "overlay")
    got = {n: running.listen(f"/regseg/{n}/compressed", CompressedImage) for n in names}
    sent = running.send_until(image(FRAME, "rgb8"), lambda: all(got.values()))
    result = segment(FRAME, "rgb8", confidence=True)
    formats = {name: messages[0].format for name, messages in got.items()}
    assert formats == {
        "mask": "rgb8; png compressed bgr8",
        "label": "mono8; png compressed mono8",
        "overlay": "rgb8; jpeg compressed bgr8",
    }
    assert all(messages[0].header == sent.header for messages in got.values())
    assert np.array_equal(decoded(got["label"][0]), result.labels)
    assert np.array_equal(decoded(got["mask"][0]), result.mask())
    jpeg = OUTPUTS["overlay"].codec.encode(result.overlay(0.5))
    assert got["overlay"][0].data.tobytes() == jpeg


def test_the_executor_does_not_wait_for_events_of_outputs(running: Rig) -> None:
    node = LifecycleNode("outputs", context=running.context)
    waitables = list(node.waitables)
    with ExitStack() as undo:
        made = publisher(node, "", undo, Image, "mask")
        assert made in node.publishers
        assert list(node.waitables) == waitables
    node.destroy_node()
    del node, made
    gc.collect()  # its lifecycle services go with its last reference


def test_the_calibration_goes_out_under_the_header_of_the_mask(running: Rig) -> None:
    infos = running.listen("/regseg/camera_info", CameraInfo)
    masks = running.listen("/regseg/mask")
    camera = running.publisher("/camera/camera_info", CameraInfo)
    running.until(lambda: camera.get_subscription_count() == 1)
    running.until_connected()

    def send() -> None:
        sent = running.send(image(FRAME, "rgb8"))
        info = CameraInfo(header=sent.header, width=96, height=64, distortion_model="plumb_bob")
        info.k[0] = float(sent.header.stamp.sec)
        camera.publish(info)
        running.spin(0.3)

    for _ in range(100):
        send()
        if len(infos) >= 3:
            break
    assert {m.header.stamp.sec for m in infos} <= {m.header.stamp.sec for m in masks}
    assert infos[-1].width == 96 and infos[-1].distortion_model == "plumb_bob"
    assert infos[-1].k[0] in {float(m.header.stamp.sec) for m in masks}
    running.forget()
    running.until(lambda: camera.get_subscription_count() == 0)


def put(running: Rig, name: str, value: ParameterValue) -> str:
    """Sets a parameter; returns why it was refused."""
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    (result,) = running.call(SetParameters, "/regseg/set_parameters", request).results
    assert result.successful != bool(result.reason)
    return str(result.reason)


def number(value: float) -> ParameterValue:
    return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)


def names(*values: str) -> ParameterValue:
    return ParameterValue(
        type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=list(values)
    )


def test_what_is_of_interest_changes_while_it_runs(running: Rig, segment: Segmenter) -> None:
    labels, overlays = running.listen("/regseg/label"), running.listen("/regseg/overlay")
    result = segment(FRAME, "rgb8", confidence=True)

    def next_ones() -> None:
        labels.clear()
        overlays.clear()
        running.spin(0.2)  # A frame may be in work.
        running.send_until(image(FRAME, "rgb8"), lambda: labels and overlays)

    assert not put(running, "classes_of_interest", names("road", "sky"))
    next_ones()
    assert np.array_equal(pixels(labels[-1]), result.limited(["road", "sky"]).labels)
    assert not put(running, "min_confidence", number(0.9))
    assert not put(running, "classes_of_interest", names(""))
    assert not put(running, "overlay_alpha", number(1.0))
    next_ones()
    limited = result.limited(min_confidence=0.9)
    assert 0 < (limited.labels == 255).mean() < 1
    assert np.array_equal(pixels(labels[-1]), limited.labels)
    assert np.array_equal(pixels(overlays[-1]), limited.mask())
    assert not put(running, "min_confidence", number(0.0))


def test_frames_over_max_rate_and_too_old_are_dropped_and_counted(running: Rig) -> None:
    running.listen("/regseg/mask")
    running.until_connected()
    # The stamps of these frames are of 1970.
    assert not put(running, "max_age_ms", number(1000.0))
    before = status(running)
    for _ in range(5):
        running.send(image(FRAME, "rgb8"))
        running.spin(0.1)
    after = status(running)
    assert after["segmented"] == before["segmented"]
    assert "older than max_age_ms" in after["dropped because"]
    assert not put(running, "max_age_ms", number(0.0))

    assert not put(running, "max_rate", number(5.0))
    for _ in range(30):
        running.send(image(FRAME, "rgb8"))
        running.spin(0.05)
    limited = status(running)
    segmented = int(limited["segmented"]) - int(after["segmented"])
    assert 2 <= segmented <= 15, "30 frames in 1.5 s or more were sent"
    assert "over max_rate" in limited["dropped because"]
    assert not put(running, "max_rate", number(0.0))
    ends = ("segmented", "dropped", "unwanted", "refused", "failed", "in work")
    assert int(limited["received"]) == sum(int(limited[name]) for name in ends)


def test_a_higher_max_rate_counts_at_once(running: Rig) -> None:
    labels = running.listen("/regseg/label")
    assert not put(running, "max_rate", number(0.01))
    running.send_until(image(FRAME, "rgb8"), lambda: labels)
    running.send(image(FRAME, "rgb8"))  # two may follow one another; from here on all wait
    running.spin(0.2)
    assert not put(running, "max_rate", number(10.0))
    labels.clear()
    running.send_until(image(FRAME, "rgb8"), lambda: labels)
    assert not put(running, "max_rate", number(0.0))


def test_parameters_that_would_have_no_effect_are_refused(running: Rig) -> None:
    text = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="/other")
    assert "read once, when the node is configured" in put(running, "image_topic", text)
    threads = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=1)
    assert "threads is read when the process starts" in put(running, "threads", threads)
    assert "classes_of_interest: bus: give names of sky" in put(
        running, "classes_of_interest", names("bus")
    )
    assert put(running, "min_confidence", number(1.5))
    assert put(running, "max_rate", number(-1.0))
    text = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="fast")
    assert "give raw, compressed, auto" in put(running, "image_transport", text)
