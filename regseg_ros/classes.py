"""What others are told of the classes: parameters, label_info, and what they mean to a robot."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from regseg_core import LabelSet, Segmentation
from regseg_core.groups import Groups
from regseg_ros.messages import label_info_message
from regseg_ros.parameters import refused

LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class Classes:
    """Of the loaded weights, or the groups that the parameter `groups` makes of them."""

    def __init__(self, node: LifecycleNode, cameras: list[str], undo: ExitStack) -> None:
        self._node = node
        self._parameters: ClassParameters | None = None
        self._publishers = self._create_publishers(cameras, undo)
        undo.callback(self._hide)

    def show(self, labels: LabelSet, always_sure: bool) -> None:
        """Tells of other classes. `always_sure`: there is no confidence. Raises as Groups.load."""
        source = self._node.get_parameter("groups").value
        groups = Groups.load(source, labels) if source else Groups.fitting(labels)
        shown = groups.label_set if source and groups is not None else labels
        self._hide()
        self._parameters = ClassParameters(self._node, labels, shown, always_sure)
        self._labels, self._always_sure = labels, always_sure
        self._meaning = labels, groups, bool(source)
        self._shown = shown
        self.announce()

    def attend(self) -> None:
        """Follows the parameter `groups`; call it some times a second."""
        if self._parameters is None or not self._parameters.groups_were_set:
            return
        self._parameters.groups_were_set = False
        try:
            self.show(self._labels, self._always_sure)
        except (OSError, ValueError) as error:  # a file that has changed since it was checked
            self._node.get_logger().error(f"groups: {error}; those of before go on")

    def announce(self) -> None:
        """Sends the names of the classes."""
        stamp = Header(stamp=self._node.get_clock().now().to_msg())
        for publisher in self._publishers:
            publisher.publish(label_info_message(self._shown, stamp))

    def applied(self, result: Segmentation) -> Segmentation:
        """A segmentation that knows what its classes mean, with groups for classes if asked for."""
        labels, groups, grouped = self._meaning
        if result.label_set != labels:
            return result  # of weights that have just been replaced
        known = replace(result, groups=groups)
        return known.grouped() if grouped else known

    def _hide(self) -> None:
        if self._parameters is not None:
            self._parameters.hide()
            self._parameters = None

    def _create_publishers(self, cameras: list[str], undo: ExitStack) -> list[Any]:
        """One beside each camera's outputs, where consumers look for it."""
        try:
            from vision_msgs.msg import LabelInfo
        except ImportError:
            self._node.get_logger().info(
                "vision_msgs is not installed: ~/label_info is not published"
                " (class names are in the parameter class_names)",
                once=True,
            )
            return []
        made = []
        for camera in sorted({"", *cameras}):
            topic = f"~/{camera}/label_info" if camera else "~/label_info"
            made.append(self._node.create_publisher(LabelInfo, topic, LATCHED_QOS))
            undo.callback(self._node.destroy_publisher, made[-1])
        return made


class ClassParameters:
    """Names, ids and colours (R, G, B, R, G, B, ...) of what ~/label shows, for other nodes.

    Nobody can change them until `hide`. rclpy's own read-only parameters could never be taken back,
    for the classes of other weights. Other parameters that do not fit the weights' `labels` are
    refused.
    """

    def __init__(self, node: Node, labels: LabelSet, shown: LabelSet, always_sure: bool) -> None:
        self._node, self._labels, self._always_sure = node, labels, always_sure
        #: Perhaps to the same file, with something else in it.
        self.groups_were_set = False
        self._values = {
            "class_names": list(shown.names),
            "class_ids": list(shown.ids),
            "class_colors": [channel for entry in shown.classes for channel in entry.color],
        }
        for name, value in self._values.items():
            descriptor = ParameterDescriptor(description="Of ~/label and ~/mask; read-only.")
            node.declare_parameter(name, value, descriptor, ignore_override=True)
        node.add_on_set_parameters_callback(self._check)

    def hide(self) -> None:
        """Takes them away."""
        self._node.remove_on_set_parameters_callback(self._check)
        for name in self._values:
            self._node.undeclare_parameter(name)

    def _check(self, changes: list[Parameter]) -> SetParametersResult:
        if named := [p.name for p in changes if p.name in self._values]:
            return refused(f"{', '.join(named)}: read-only, of the loaded weights")
        values = {change.name: change.value for change in changes}
        if wrong := misfit(values, self._labels, self._always_sure):
            return refused(wrong)
        self.groups_were_set |= "groups" in values
        return SetParametersResult(successful=True)


def misfit(values: Mapping[str, Any], labels: LabelSet, always_sure: bool) -> str:
    """Why parameters do not fit weights; empty where they do, or are not among `values`."""
    interest = [name for name in values.get("classes_of_interest", ()) if name]
    if missing := [name for name in interest if name not in labels.names]:
        return f"classes_of_interest: {', '.join(missing)}: give names of {', '.join(labels.names)}"
    if values.get("min_confidence", 0.0) > 0 and always_sure:
        return "min_confidence: the engine file was compiled without --confidence"
    if source := values.get("groups"):
        try:
            Groups.load(source, labels)
        except (OSError, ValueError) as error:
            return f"groups: {error}"
    return ""
