"""Settings as parameters of a node."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from regseg_ros.settings import AT_START, ONCE, CameraSettings, Described, described

Settings = TypeVar("Settings")


def declare(
    node: Node, settings: type[Any], is_configured: Callable[[], bool] = lambda: True
) -> None:
    """Declares every parameter of a settings class.

    One that is read once is refused once the node is configured, since it would have no effect.
    Raises rclpy's ParameterException for a value that one cannot have.
    """
    entries = described(settings)
    declared: set[str] = set()

    def check(changes: list[Parameter]) -> SetParametersResult:
        for change in changes:
            default, entry = entries.get(change.name.rpartition(".")[2], (None, None))
            if entry is None:
                continue
            if entry.choices and change.value not in entry.choices:
                return refused(f"{change.name} is {change.value!r}; {_choices(entry)}")
            if wrong := _wrong_numbers(change.value, default, entry):
                return refused(f"{change.name}: {wrong}")
            if entry.read == AT_START and change.name in declared:
                return refused(
                    f"{change.name} is read when the process starts: give it there, or in the file"
                    " of parameters"
                )
            if entry.read == ONCE and is_configured() and change.name in declared:
                return refused(
                    f"{change.name} is read once, when the node is configured: change it in the"
                    " state unconfigured, or in the file of parameters"
                )
        declared.update(change.name for change in changes)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)
    for name, (default, entry) in entries.items():
        _declare_one(node, name, default, entry)


def declare_cameras(node: Node, names: Iterable[str]) -> None:
    """Declares the parameters of named cameras, such as `front.rotate`.

    They are by default what the parameter without a name says, but for the topic. Those that are
    there already stay as they are.
    """
    for name in filter(None, names):
        defaults = replace(read(node, CameraSettings), image_topic=f"/{name}/image_raw")
        for field, (_, entry) in described(CameraSettings).items():
            if not node.has_parameter(f"{name}.{field}"):
                _declare_one(node, f"{name}.{field}", getattr(defaults, field), entry)


def misspelt(node: Node) -> dict[str, str]:
    """Parameters that were given and are none of the node's, and the one that may be meant.

    rclpy says nothing of them. Those of ROS itself are left out.
    """
    known = [name for name in node.get_parameters_by_prefix("") if "." not in name]
    given = [
        name
        for name in node._parameter_overrides
        if not node.has_parameter(name) and not name.startswith("qos_overrides.")
    ]
    return {
        name: next(iter(get_close_matches(name.rpartition(".")[2], known, 1)), "") for name in given
    }


def read(node: Node, settings: type[Settings], camera: str = "") -> Settings:
    """The values now; those of a named camera where a name is given."""
    names = [f.name for f in fields(settings)]  # type: ignore[arg-type]
    prefix = f"{camera}." if camera else ""
    return settings(**{name: node.get_parameter(prefix + name).value for name in names})


def write(node: Node, values: Mapping[str, Any]) -> None:
    """Sets parameters of the node itself."""
    node.set_parameters([Parameter(name, value=value) for name, value in values.items()])


def _declare_one(node: Node, name: str, default: Any, entry: Described) -> None:
    value = list(default) if isinstance(default, tuple) else default
    node.declare_parameter(name, value, _descriptor(default, entry))


def _descriptor(default: object, entry: Described) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=f"{entry.description} {entry.read}",
        additional_constraints=_choices(entry),
        dynamic_typing=entry.any_type,
    )
    if entry.limits is not None and not isinstance(default, tuple):
        low, high = entry.limits
        if isinstance(default, int):
            limits = IntegerRange(from_value=int(low), to_value=int(high), step=1)
            descriptor.integer_range = [limits]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor


def _wrong_numbers(value: Any, default: object, entry: Described) -> str:
    """What is wrong with a list of numbers; of single ones rclpy says it."""
    if not isinstance(default, tuple) or isinstance(default[0], str) or value is None:
        return ""
    if not isinstance(value, Collection) or len(value) != len(default):
        return f"give {len(default)} numbers"
    low, high = entry.limits or (-math.inf, math.inf)
    inside = all(math.isfinite(number) and low <= number <= high for number in value)
    return "" if inside else f"a number is out of range, {low:g} to {high:g}"


def _choices(entry: Described) -> str:
    return f"give {', '.join(map(str, entry.choices))}" if entry.choices else ""


def refused(reason: str) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=reason)
