"""Nav2's semantic layer over DDS: a reader that takes our topics as the plugin's source does.

The plugin itself needs Nav2, which has no wheel.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sensors
import yaml
from nav2_layer import LATCHED, Source, parameters_of, stamp
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rig import Rig, rig
from sensor_msgs.msg import Image
from sensors import depth, info
from std_msgs.msg import Header

from regseg_core import Segmenter
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.groups import BUILT_IN
from regseg_core.labels import CAMVID
from regseg_ros.classes import LATCHED_QOS
from regseg_ros.launching import nav2_remappings
from regseg_ros.messages import label_info_message
from regseg_ros.nav2_config import Sources, layer, to_yaml

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("nav2")]

WIDTH, HEIGHT = 238, 178  # No whole number of strides of 4.
STREET = SyntheticStreet(WIDTH, HEIGHT)
FRAME = STREET.frame(12.0)[0]
LENS, WALL = 1.6, 4.0
FOCAL, MIDDLE, HORIZON = 0.8 * WIDTH, WIDTH / 2, HEIGHT * STREET.plan.horizon
GROUPS = BUILT_IN["camvid"].groups_of(CAMVID)
#: What LabelInfo says.
NAMES = dict(zip(CAMVID.ids, CAMVID.names, strict=True))


def remappings(cameras: list[str]) -> list[str]:
    """As launch_ros gives them to the node, for nav2:=true."""
    return [part for old, new in nav2_remappings(cameras) for part in ("-r", f"{old}:={new}")]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("nav2")) as made:
        given = {"depth_topic": "/camera/depth", "camera_height": LENS, "grid_cell": 0.5}
        parameters = [part for n, v in given.items() for part in ("-p", f"{n}:={v}")]
        made.start(*parameters, *remappings([]))
        made.until_said("active:")
        yield made


@pytest.fixture
def source(running: Rig, tmp_path: Path) -> Iterator[Callable[[Sources], Source]]:
    """Reads the YAML for some sources, and hears what it says."""
    made: list[Source] = []

    def hear(sources: Sources) -> Source:
        path = tmp_path / "nav2.yaml"
        parameters = yaml.safe_load(to_yaml(layer(CAMVID, "", sources), []))
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
        read = parameters_of(path, int(running.environment["ROS_DOMAIN_ID"]))
        assert not read["use_approximate_time_sync"], "equal stamps match at once"
        made.append(Source(running.node, read["camera"]))
        return made[-1]

    yield hear
    for entry in made:
        entry.close()


def send_until(running: Rig, ready: Callable[[], Any]) -> Image:
    """A frame before a wall, with all that is known of the camera, until `ready`."""
    k = [FOCAL, 0.0, MIDDLE, 0.0, FOCAL, HORIZON, 0.0, 0.0, 1.0]
    beside = {
        "/camera/camera_info": info(width=WIDTH, height=HEIGHT, k=k),
        "/camera/depth": depth(np.full((HEIGHT, WIDTH), WALL)),
    }
    return sensors.send_until(running, "", beside, ready, FRAME)


def same_moment(source: Source, sent: Image) -> None:
    matched = source.matched()
    assert matched is not None
    assert {stamp(message) for message in matched} == {stamp(sent)}
    mask, confidence, cloud = matched
    assert mask.encoding == confidence.encoding == "mono8"
    assert mask.step == mask.width and len(confidence.data) == len(mask.data)
    assert (mask.width, mask.height) == (cloud.width, cloud.height)
    assert len(cloud.data) == cloud.width * cloud.height * cloud.point_step


def test_the_ground_of_one_camera_becomes_costs(
    running: Rig, segment: Segmenter, source: Callable[[Sources], Source]
) -> None:
    heard = source(Sources())
    sent = send_until(running, heard.matched)
    same_moment(heard, sent)
    result = segment(FRAME, "rgb8", confidence=True)
    assert result.confidence is not None
    labels, confidence = result.labels.ravel(), result.confidence.ravel()

    seen = heard.observations(NAMES)
    assert {name for name, *_ in seen} >= {"road", "pavement"}
    for name, cost, sure, index in seen:
        assert (name, sure) == (NAMES[labels[index]], confidence[index])
        assert cost == GROUPS[name].cost
    assert sum(cost == 254 for _, cost, *_ in seen) > 10, "the feet of obstacles"

    # The ground that is near enough is observed whole, and nothing beyond it is.
    row, column = np.indices((HEIGHT, WIDTH)).reshape(2, -1)
    ahead = np.where(row > HORIZON, LENS * FOCAL / (row - HORIZON), 1e9)
    distance = np.hypot(np.hypot(ahead, LENS), (column - MIDDLE) / FOCAL * ahead)
    ground = {i for n, i in zip(CAMVID.names, CAMVID.ids, strict=True) if GROUPS[n].cost == 0}
    near = np.isin(labels, list(ground)) & (distance < 9.9)
    far = distance > 10.1
    observed = np.isin(np.arange(labels.size), [index for *_, index in seen])
    assert near.sum() > 5000 and observed[near].all() and not observed[far].any()


def test_every_fourth_pixel_of_a_depth_camera_becomes_costs(
    running: Rig, segment: Segmenter, source: Callable[[Sources], Source]
) -> None:
    put(running, "points_stride", 4)
    heard, on_ground = source(Sources(points="points")), source(Sources())
    sent = send_until(running, lambda: heard.matched() and on_ground.matched())
    same_moment(heard, sent)
    same_moment(on_ground, sent)
    assert 254 in {cost for _, cost, *_ in on_ground.observations(NAMES)}, "feet are not lost"
    mask = heard.masks[0]
    assert (mask.width, mask.height) == (WIDTH // 4, HEIGHT // 4)
    result = segment(FRAME, "rgb8", confidence=True).labels
    # As far as they are; the middles of squares of 4 and a little more.
    rows = ((np.arange(mask.height) + 0.5) * HEIGHT / mask.height).astype(int)
    columns = ((np.arange(mask.width) + 0.5) * WIDTH / mask.width).astype(int)
    expected = [NAMES[label] for label in result[rows[:, None], columns].ravel()]
    seen = heard.observations(NAMES)
    assert "sky" in expected
    observed = {index: (name, cost) for name, cost, _, index in seen}
    for index, name in enumerate(expected):
        row, column = rows[index // mask.width], columns[index % mask.width]
        ray = math.hypot(1.0, (column - MIDDLE) / FOCAL, (row - HORIZON) / FOCAL)
        within = WALL * ray < heard.settings["max_obstacle_distance"]
        # The sky has no cost, so that the layer does not know it, and skips it.
        wanted = (name, GROUPS[name].cost) if within and name != "sky" else None
        assert observed.get(index) == wanted
    put(running, "points_stride", 1)


def test_in_a_namespace_each_camera_has_topics_of_its_own(fresh: Rig) -> None:
    cameras = ["front", "rear"]
    fresh.start(
        "-r", "__ns:=/robot1", "-p", f"cameras:=[{', '.join(cameras)}]", *remappings(cameras)
    )
    fresh.until_said("active:")
    parameters = layer(CAMVID, "", Sources(tuple(cameras), namespace="robot1"))
    for camera in parameters["observation_sources"].split():
        topics = parameters[camera]
        for name in ("segmentation_topic", "confidence_topic", "pointcloud_topic"):
            fresh.until(partial(fresh.node.count_publishers, topics[name]))


def test_the_names_of_the_classes_wait_for_the_layer(running: Rig) -> None:
    messages = pytest.importorskip("vision_msgs.msg", reason="vision_msgs has no wheel")
    camera = layer(CAMVID, "", Sources())["camera"]
    heard: list[Any] = []
    late = running.node.create_subscription(
        messages.LabelInfo, camera["labels_topic"], heard.append, LATCHED
    )
    running.until(lambda: heard)
    running.node.destroy_subscription(late)
    names = {entry.class_id: entry.class_name for entry in heard[0].class_map}
    known = {name for kind in camera["class_types"] for name in camera[kind]["classes"]}
    assert names == NAMES and set(names.values()) - known == {"sky"}


def test_without_vision_msgs_its_content_and_qos_hold(
    running: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = running.node.create_publisher(Header, "latched", LATCHED_QOS)
    publisher.publish(Header(frame_id="early"))
    heard: list[Header] = []
    late = running.node.create_subscription(Header, "latched", heard.append, LATCHED)
    running.until(lambda: heard)
    running.node.destroy_subscription(late)
    running.node.destroy_publisher(publisher)

    monkeypatch.setitem(sys.modules, "vision_msgs", ModuleType("vision_msgs"))
    stand_in = ModuleType("vision_msgs.msg")
    stand_in.LabelInfo = stand_in.VisionClass = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", stand_in)
    info = label_info_message(CAMVID, Header())
    assert {entry.class_id: entry.class_name for entry in info.class_map} == NAMES


def put(running: Rig, name: str, value: int) -> None:
    kind = ParameterType.PARAMETER_INTEGER
    given = Parameter(name=name, value=ParameterValue(type=kind, integer_value=value))
    request = SetParameters.Request(parameters=[given])
    (result,) = running.call(SetParameters, "/regseg/set_parameters", request).results
    assert result.successful, result.reason
