"""What may be missing or wrong where points and ground are made: one warning, and masks go on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nav_msgs.msg import OccupancyGrid
from places import ROOT
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rig import Rig, image, pixels, rig, status
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from sensors import FRAME, SLANTED, cloud, depth, info, send_until, start

from regseg_core import LabelSet, create_model
from regseg_core.labels import LabelClass
from regseg_core.weights import ModelCard, save_weights

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("missing")]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("missing")) as made:
        yield start(made)


def trouble(running: Rig, camera: str) -> str:
    return str(status(running, camera)["points and ground"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"k": [0.0] * 9}, "focal lengths are 0 and 0: the camera is not calibrated"),
        ({"k": [float("nan")] * 9}, "the calibration holds NaN or infinity"),
        ({"width": 640}, "is for 640 x 64 pixels, the images have 96 x 64: calibrate the camera"),
        ({"distortion_model": "bent"}, "distortion model 'bent': known are plumb_bob"),
    ],
)
def test_a_calibration_that_cannot_be_meant_is_said_and_masks_go_on(
    wrong: dict[str, Any], said: str, running: Rig
) -> None:
    masks = running.listen("/regseg/rear/mask")
    running.listen("/regseg/rear/grid", OccupancyGrid)
    others = {"/rear/camera_info": info(**wrong)}
    send_until(running, "rear", others, lambda: said in trouble(running, "rear"))
    assert masks


def test_what_is_not_there_is_one_warning_that_says_what(running: Rig) -> None:
    masks = running.listen("/regseg/front/mask")
    running.listen("/regseg/front/points", PointCloud2)
    running.listen("/regseg/front/free_space", LaserScan)

    def now() -> str:
        return trouble(running, "front")

    send_until(running, "front", {}, lambda: "no /regseg/front/points: nobody publishes" in now())
    assert "free_space: no calibration: nobody publishes /front/camera_info" in now()
    running.until_said("no /regseg/front/points: nobody publishes /front/depth")

    others: dict[str, Any] = {"/front/camera_info": info()}
    text = "tf2_ros is not installed: install it, or set camera_height"
    send_until(running, "front", others, lambda: text in now())
    late = depth(SLANTED)
    camera = running.publisher("/front/depth")
    running.until(lambda: camera.get_subscription_count())

    def send_late() -> bool:
        late.header.stamp.sec = running.stamp
        late.header.stamp.nanosec = 400_000_000
        camera.publish(late)
        return "stamps on /front/depth are 0.400 s after those of the images" in now()

    send_until(running, "front", others, send_late)
    late.encoding = "8UC1"
    send_until(
        running, "front", {**others, "/front/depth": late}, lambda: "comes as '8UC1'" in now()
    )
    assert masks


def test_depth_that_gets_lost_on_its_way_is_said(running: Rig) -> None:
    """Images of three times what the shared memory of the profile holds."""
    running.listen("/regseg/front/points", PointCloud2)
    large = depth(np.ones((3072, 6144)))
    camera = running.publisher("/front/depth", Image)
    running.until(lambda: camera.get_subscription_count())
    process = running.process
    assert process is not None

    def said() -> bool:
        # A quick machine's node would fetch the pieces before they are overwritten.
        process.send_signal(signal.SIGSTOP)
        for _ in range(6):
            running.send(large, "/front/depth")
        process.send_signal(signal.SIGCONT)
        return "the transport loses" in trouble(running, "front")

    running.until(said)


def test_a_lidar_that_stops_is_said_and_is_heard_again(running: Rig) -> None:
    got = running.listen("/regseg/rear/points", PointCloud2)
    masks = running.listen("/regseg/rear/mask")
    scanned = cloud(np.array([[5, 0, 0]], np.float32))
    others = {"/lidar": scanned, "/rear/camera_info": info()}
    send_until(running, "rear", others, lambda: got)
    silent = {"/rear/camera_info": info()}
    text = "nothing comes on /lidar for"
    send_until(running, "rear", silent, lambda: text in trouble(running, "rear"))
    assert masks
    got.clear()
    send_until(running, "rear", others, lambda: got and trouble(running, "rear") == "ok")


@pytest.mark.slow
def test_a_calibration_that_is_wanted_and_missing_or_wrong_is_said(running: Rig) -> None:
    masks = running.listen("/regseg/front/mask")
    small = running.listen("/regseg/front/label_small/camera_info", CameraInfo)
    nobody = "no /regseg/front/label_small/camera_info: no calibration: "
    send_until(running, "front", {}, lambda: nobody in running.said())
    for wrong, said in (
        ({"k": [0.0] * 9}, "focal lengths are 0 and 0"),
        ({"width": 640}, "the calibration is for 640 x 64 pixels, the images have 96 x 64"),
    ):
        text = f"no /regseg/front/label_small/camera_info: {said}"
        others = {"/front/camera_info": info(**wrong)}
        send_until(running, "front", others, lambda text=text: text in running.said())  # type: ignore[misc]
    assert masks and not small
    again = "calibrations of front (/front/image_raw) again"
    good = {"/front/camera_info": info()}
    send_until(running, "front", good, lambda: again in running.said())
    assert small


def test_a_lidar_gives_no_depth_and_a_clock_that_is_behind_is_said(running: Rig) -> None:
    got = running.listen("/regseg/rear/points", PointCloud2)
    running.listen("/regseg/rear/static_depth")
    others: dict[str, Any] = {"/rear/camera_info": info()}
    scanned = cloud(np.array([[5, 0, 0]], np.float32))
    text = "no /regseg/rear/static_depth: depth_topic is not set"
    beside = {"/lidar": scanned, **others}
    send_until(running, "rear", beside, lambda: got and text in trouble(running, "rear"))
    assert "Traceback" not in running.said()

    lidar = running.publisher("/lidar", PointCloud2)

    def behind() -> bool:
        """As a lidar's that counts from its own start."""
        scanned.header.stamp.sec += 1
        lidar.publish(scanned)
        for _ in range(4):
            running.send(image(FRAME, "rgb8"), "/rear/image_raw")
            running.spin(0.1)
        return "s before those of the images" in trouble(running, "rear")

    running.stamp += 1000
    scanned.header.stamp.sec = 1
    send_until(running, "rear", others, behind)


def test_a_sensors_topic_that_is_no_name_is_said_at_once(fresh: Rig) -> None:
    fresh.start("-p", "depth_topic:=/depth image")
    fresh.until(lambda: fresh.process and fresh.process.poll() is not None)
    assert fresh.process is not None and fresh.process.returncode == 1
    assert "configure failed: '/depth image' is no topic: topic name must not" in fresh.said()
    assert "Traceback" not in fresh.said()


def test_a_camera_whose_place_is_in_tf(fresh: Rig, tmp_path: Path) -> None:
    known = tmp_path / "tf.json"
    stand_in = str(ROOT / "test" / "support" / "tf2")
    fresh.environment["PYTHONPATH"] = os.pathsep.join([fresh.environment["PYTHONPATH"], stand_in])
    fresh.environment["TF2_STAND_IN"] = str(known)
    known.write_text("{}")
    start(fresh, **{"rear.camera_height": "0.0"})
    masks = fresh.listen("/regseg/rear/mask")
    grids = fresh.listen("/regseg/rear/grid", OccupancyGrid)
    others = {"/rear/camera_info": info()}

    def says(text: str) -> None:
        send_until(fresh, "rear", others, lambda: text in trouble(fresh, "rear"))

    says("no way from 'lens1' to 'base_link'")
    # It looks back, 0.4 m behind the robot's middle and 0.8 m high.
    place = [-0.4, 0.0, 0.8, 0.5, 0.5, -0.5, -0.5]
    lenses = {f"base_link lens{number}": place for number in range(1, 9)}
    known.write_text(json.dumps(lenses))
    send_until(fresh, "rear", others, lambda: grids)
    origin = grids[0].info.origin
    assert grids[0].header.frame_id == "base_link"
    half = grids[0].info.height / 2 * grids[0].info.resolution
    assert (origin.position.x, origin.position.y) == pytest.approx((-0.4, half))
    assert abs(origin.orientation.z) == pytest.approx(1)
    nowhere = {name: [float("nan"), *place[1:]] for name in lenses}
    known.write_text(json.dumps(nowhere))
    says("the transform to the camera holds NaN")
    assert masks


GROUPS = """
groups:
  - {name: go, color: [0, 255, 0], cost: 3, role: ground, classes: [path]}
  - {name: slow, color: [255, 255, 0], cost: 90, role: ground, classes: [grass]}
"""


def test_classes_that_no_groups_fit_have_no_cost_until_somebody_says_it(
    fresh: Rig, tmp_path: Path
) -> None:
    classes = LabelSet("two", (LabelClass(7, "path", (1, 2, 3)), LabelClass(9, "grass", (4, 5, 6))))
    weights, mine = tmp_path / "two.safetensors", tmp_path / "mine.yaml"
    save_weights(weights, create_model("regseg48", 2), ModelCard("regseg48", classes))
    fresh.start("-p", f"weights:={weights}")
    fresh.until_said("active:")
    costs, masks = fresh.listen("/regseg/cost"), fresh.listen("/regseg/mask")
    text = "no /regseg/cost: no built-in groups fit the classes path, grass: set groups"
    fresh.send_until(image(FRAME, "rgb8"), lambda: masks and text in fresh.said())
    assert not costs and status(fresh)["failed"] == "0"
    mine.write_text(GROUPS)
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(mine))
    request = SetParameters.Request(parameters=[Parameter(name="groups", value=value)])
    assert fresh.call(SetParameters, "/regseg/set_parameters", request).results[0].successful
    fresh.send_until(image(FRAME, "rgb8"), lambda: costs)
    assert set(np.unique(pixels(costs[0]))) <= {3, 90}
