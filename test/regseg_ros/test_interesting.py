"""Frames that the network is unsure of, on a topic of their own for a recorder."""

from __future__ import annotations

import array
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rig import Rig, image, rig
from sensor_msgs.msg import CompressedImage

from regseg_core import Segmenter
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.outputs import JPEG

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("interesting")]

SURE = SyntheticStreets(1, 192, 128)[0][0]
UNSURE = np.random.default_rng(0).integers(0, 256, SURE.shape, np.uint8)  # looks like no class
FRONT, REAR = "/front/image_raw", "/rear/image_raw/compressed"


@pytest.fixture(scope="module")
def limit() -> float:
    """A mean confidence between those of the two frames."""
    segment = Segmenter(device="cpu", precision="float32", backend="eager")
    unsure, sure = (segment(f, "rgb8", confidence=True).mean_confidence for f in (UNSURE, SURE))
    assert unsure is not None and sure is not None and unsure + 0.05 < sure
    return (unsure + sure) / 2


@pytest.fixture(scope="module")
def running(limit: float, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Records what is less sure than that, as often as it comes."""
    with rig(tmp_path_factory.mktemp("interesting")) as made:
        made.start(
            *("-p", "cameras:=[front, rear]", "-p", "rear.image_transport:=compressed"),
            *("-p", "precision:=float32", "-p", "record_interval:=0.0"),
            *("-p", f"record_below:={limit}"),
        )
        made.until_said("active:")
        yield made


def put(running: Rig, name: str, value: float) -> None:
    number = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    request = SetParameters.Request(parameters=[Parameter(name=name, value=number)])
    assert running.call(SetParameters, "/regseg/set_parameters", request).results[0].successful


def test_unsure_frames_are_sent_and_sure_ones_are_not(running: Rig) -> None:
    found = running.listen("/regseg/front/interesting", CompressedImage)
    running.publisher(FRONT)
    running.until_connected(FRONT)  # nobody listens to anything else
    labels = running.listen("/regseg/front/label")
    running.send_until(image(SURE, "rgb8"), lambda: labels, FRONT)
    unsure = running.send_until(image(UNSURE, "rgb8"), lambda: found, FRONT)
    assert {message.header.frame_id for message in found} == {unsure.header.frame_id}
    assert found[0].header == unsure.header and found[0].format == "rgb8; jpeg compressed bgr8"
    assert found[0].data.tobytes() == JPEG.encode(UNSURE)
    running.forget()


def test_what_came_compressed_goes_out_as_it_came(running: Rig) -> None:
    found = running.listen("/regseg/rear/interesting", CompressedImage)
    file = cv2.imencode(".png", UNSURE[:, :, ::-1])[1].tobytes()
    running.publisher(REAR, CompressedImage)
    running.until_connected(REAR)
    message = CompressedImage(format="png", data=array.array("B", file))
    assert running.send_until(message, lambda: found, REAR) == found[0]
    running.forget()


def test_they_are_no_more_than_one_an_interval(running: Rig) -> None:
    found = running.listen("/regseg/front/interesting", CompressedImage)
    running.until_connected(FRONT)
    put(running, "record_interval", 3600.0)
    labels = running.listen("/regseg/front/label")
    running.send_until(image(UNSURE, "rgb8"), lambda: found, FRONT)
    for _ in range(3):
        labels.clear()
        running.send_until(image(UNSURE, "rgb8"), lambda: labels, FRONT)
    running.spin(0.5)
    assert len({message.header.frame_id for message in found}) == 1
    running.forget()
