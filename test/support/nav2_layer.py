"""A reader of topics and parameters that takes them as Nav2's semantic layer does (b269885)."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2, PointField

from regseg_ros.nav2_config import LAYER

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
