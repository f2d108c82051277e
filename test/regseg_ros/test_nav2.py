"""Nav2's semantic layer over DDS: a reader that takes our topics as the plugin's source does.

The plugin itself needs Nav2, which has no wheel. Held against its commit b269885.
"""

from __future__ import annotations

import math
import struct
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
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rig import Rig, rig
from sensor_msgs.msg import Image, PointCloud2, PointField
from sensors import depth, info
from std_msgs.msg import Header

from regseg_core import Segmenter
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.groups import BUILT_IN
from regseg_core.labels import CAMVID
from regseg_ros.classes import LATCHED_QOS
from regseg_ros.launching import nav2_remappings
from regseg_ros.messages import label_info_message
from regseg_ros.nav2_config import LAYER, Sources, layer, to_yaml

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("nav2")]

#: Of the plugin's parameters, declared as its source does: a YAML with another type would end it.
LAYER_DEFAULTS: dict[str, Any] = {
    "enabled": True,
    "combination_method": 1,
    "observation_sources": "",
    "use_approximate_time_sync": True,
    "sensor_data_depth": 10,
}
SOURCE_DEFAULTS: dict[str, Any] = {
    "segmentation_topic": "",
    "confidence_topic": "",
    "labels_topic": "",
    "pointcloud_topic": "",
    "observation_persistence": 0.0,
    "expected_update_rate": 0.0,
    "class_types": [""],
    "max_obstacle_distance": 5.0,
    "min_obstacle_distance": 0.3,
    "tile_map_decay_time": 5.0,
    "visualize_tile_map": False,
    "use_cost_selection": True,
}
CLASS_DEFAULTS: dict[str, Any] = {
    "classes": [""],
    "base_cost": 0,
    "max_cost": 0,
    "mark_confidence": 0,
    "samples_to_max_cost": 0,
    "dominant_priority": False,
}
SENSOR_DATA = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(
    depth=5,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
#: Of approximate synchronisation, in nanoseconds.
TOLERANCE = 100_000_000


def parameters_of(path: Path, domain: int) -> dict[str, Any]:
    """The YAML as a node reads it: by rcl's parser, each parameter of its declared type."""
    context = Context()
    arguments = ["--ros-args", "--params-file", str(path)]
    context.init(args=arguments, domain_id=domain)
    node = Node("local_costmap", context=context)

    def declared(prefix: str, defaults: dict[str, Any]) -> dict[str, Any]:
        return {
            name: node.declare_parameter(f"{LAYER}.{prefix}{name}", default).value
            for name, default in defaults.items()
        }

    try:
        found = declared("", LAYER_DEFAULTS)
        for source in found["observation_sources"].split():
            found[source] = declared(f"{source}.", SOURCE_DEFAULTS)
            for kind in found[source]["class_types"]:
                found[source][kind] = declared(f"{source}.{kind}.", CLASS_DEFAULTS)
        return found
    finally:
        node.destroy_node()
        context.shutdown()


class Source:
    """One observation source: what it has heard, and what it would make of it."""

    def __init__(self, node: Node, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.masks: list[Image] = []
        self.confidences: list[Image] = []
        self.clouds: list[PointCloud2] = []
        hear = node.create_subscription
        self._heard = [
            hear(Image, settings["segmentation_topic"], self.masks.append, SENSOR_DATA),
            hear(Image, settings["confidence_topic"], self.confidences.append, SENSOR_DATA),
            hear(PointCloud2, settings["pointcloud_topic"], self.clouds.append, SENSOR_DATA),
        ]
        self._node = node

    def close(self) -> None:
        for subscription in self._heard:
            self._node.destroy_subscription(subscription)

    def matched(self) -> tuple[Image, Image, PointCloud2] | None:
        """A mask with the confidence and the cloud within the tolerance."""
        for mask in self.masks:
            near = [
                next((m for m in of if abs(stamp(m) - stamp(mask)) <= TOLERANCE), None)
                for of in (self.confidences, self.clouds)
            ]
            if None not in near:
                return mask, *near
        return None

    def observations(self, names: dict[int, str]) -> list[tuple[str, int, int, int]]:
        """Class, its cost, confidence and index of each pixel that would be buffered.

        `names`: of LabelInfo. Pixels are counted, not addressed: no step, no encoding, no rows.
        """
        matched = self.matched()
        assert matched is not None
        mask, confidence, cloud = matched
        assert mask.width * mask.height == cloud.width * cloud.height
        assert len(mask.data) >= mask.width * mask.height
        fields = {field.name: field for field in cloud.fields}
        assert all(fields[axis].datatype == PointField.FLOAT32 for axis in "xyz")
        costs = {
            name: self.settings[kind]["max_cost"]
            for kind in self.settings["class_types"]
            for name in self.settings[kind]["classes"]
        }
        nearest, farthest = (self.settings[f"{name}_obstacle_distance"] for name in ("min", "max"))
        found = []
        for v in range(mask.height):
            for u in range(mask.width):
                index = v * mask.width + u
                at = index * cloud.point_step
                x, y, z = (
                    struct.unpack_from("<f", cloud.data, at + fields[axis].offset)[0]
                    for axis in "xyz"
                )
                if not math.isfinite(z) or not nearest < math.hypot(x, y, z) < farthest:
                    continue
                name = names.get(mask.data[index])
                if name is not None and name in costs:
                    found.append((name, costs[name], confidence.data[index], index))
        return found


def stamp(message: Any) -> int:
    time = message.header.stamp
    return int(time.sec * 1_000_000_000 + time.nanosec)


WIDTH, HEIGHT = 238, 178  # No whole number of strides of 4.
STREET = SyntheticStreet(WIDTH, HEIGHT)
FRAME = STREET.frame(12.0)[0]
LENS, WALL = 1.6, 4.0
FOCAL, MIDDLE, HORIZON = 0.8 * WIDTH, WIDTH / 2, HEIGHT * STREET.plan.horizon
GROUPS = BUILT_IN["camvid"].groups_of(CAMVID)
#: What LabelInfo would say: the message itself has no wheel.
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


def test_label_info_waits_for_who_comes_late(running: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """vision_msgs has no wheel: its QoS over DDS with another message, its content without DDS."""
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
