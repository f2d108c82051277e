"""Settings as parameters of a node, and the classes of its weights as read-only ones."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from regseg_core import LabelSet
from regseg_ros.settings import Described, described

Settings = TypeVar("Settings")


def declare(node: Node, settings: type[Any]) -> None:
    """Declares every parameter of a settings class.

    Raises rclpy's ParameterException for a value that one cannot have.
    """
    for name, (default, entry) in described(settings).items():
        node.declare_parameter(name, default, _descriptor(default, entry))


def read(node: Node, settings: type[Settings]) -> Settings:
    """The values now."""
    names = [f.name for f in fields(settings)]  # type: ignore[arg-type]
    return settings(**{name: node.get_parameter(name).value for name in names})


def _descriptor(default: object, entry: Described) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=entry.description, dynamic_typing=entry.any_type)
    if entry.limits is not None:
        low, high = entry.limits
        if isinstance(default, int):
            limits = IntegerRange(from_value=int(low), to_value=int(high), step=1)
            descriptor.integer_range = [limits]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor


_CLASS_PARAMETERS = ("class_names", "class_ids", "class_colors")


def show_classes(node: Node, labels: LabelSet) -> None:
    """Puts class names, ids and colours (R, G, B, R, G, B, ...) where other nodes can read them.

    Nobody can change them until `hide_classes`. rclpy's own read-only parameters could never be
    taken back, for the classes of other weights.
    """
    values = (
        list(labels.names),
        list(labels.ids),
        [channel for entry in labels.classes for channel in entry.color],
    )
    for name, value in zip(_CLASS_PARAMETERS, values, strict=True):
        descriptor = ParameterDescriptor(description="Of the loaded weights; read-only.")
        node.declare_parameter(name, value, descriptor, ignore_override=True)
    node.add_on_set_parameters_callback(_refuse_class_changes)


def hide_classes(node: Node) -> None:
    """Undoes `show_classes`."""
    node.remove_on_set_parameters_callback(_refuse_class_changes)
    for name in _CLASS_PARAMETERS:
        node.undeclare_parameter(name)


def _refuse_class_changes(changes: list[Parameter]) -> SetParametersResult:
    if named := [p.name for p in changes if p.name in _CLASS_PARAMETERS]:
        reason = f"{', '.join(named)}: read-only, of the loaded weights"
        return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)
