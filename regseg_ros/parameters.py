"""Parameters: what may be set, what each means, which values it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from regseg_core import LabelSet, zoo
from regseg_core.backends.choose import BACKENDS


@dataclass(frozen=True)
class Declared:
    """A parameter's default, its description, and other fields of its descriptor."""

    default: Any
    description: str
    limits: dict[str, Any] = field(default_factory=dict)


def whole(low: int, high: int) -> dict[str, Any]:
    """The range of an integer parameter."""
    return {"integer_range": [IntegerRange(from_value=low, to_value=high, step=1)]}


def real(low: float, high: float) -> dict[str, Any]:
    """The range of a floating-point parameter."""
    return {"floating_point_range": [FloatingPointRange(from_value=low, to_value=high)]}


def declare(node: Node, table: dict[str, Declared]) -> None:
    """Declares every parameter. Raises rclpy's ParameterException for a value it cannot have."""
    for name, entry in table.items():
        descriptor = ParameterDescriptor(description=entry.description, **entry.limits)
        node.declare_parameter(name, entry.default, descriptor)


@dataclass(frozen=True)
class Settings:
    """The segmenter's parameters as they were when the node was configured."""

    image_topic: str
    weights: str
    model: str
    labels: str
    device: str
    precision: str
    backend: str
    engine: str
    network_height: int
    network_width: int
    overlay_alpha: float
    autostart: bool

    @classmethod
    def of(cls, node: Node) -> Settings:
        """The values now; changes after that count from the next time the node is configured."""
        return cls(**{name: node.get_parameter(name).value for name in SEGMENTER})

    @property
    def size(self) -> tuple[int, int] | None:
        """What the network sees, None for the frame's own. Raises ValueError for half a size."""
        if (self.network_height == 0) != (self.network_width == 0):
            raise ValueError("set both network_height and network_width, or neither")
        return (self.network_height, self.network_width) if self.network_height else None


SEGMENTER = {
    "image_topic": Declared("/camera/image_raw", "Camera topic, sensor_msgs/Image."),
    "weights": Declared(zoo.DEFAULT, f"A weights file, or one of {', '.join(zoo.names())}."),
    "model": Declared("", "Network of weights without a card, such as regseg48; else empty."),
    "labels": Declared("", "Label set of weights without a card: name or YAML file; else empty."),
    "device": Declared("auto", "auto, cpu, cuda or cuda:N."),
    "precision": Declared("auto", "auto, float32, bfloat16 or float16."),
    "backend": Declared("auto", f"What runs the graph: auto, {', '.join(BACKENDS)}."),
    "engine": Declared("", "An engine file of `python -m regseg_core.compile`; else empty."),
    "network_height": Declared(0, "Rows the network sees; 0: the camera's.", whole(0, 8192)),
    "network_width": Declared(0, "Columns the network sees; 0: the camera's.", whole(0, 8192)),
    "overlay_alpha": Declared(
        0.5,
        "Weight of the mask in ~/overlay: 0 shows the camera image alone, 1 the mask alone.",
        real(0.0, 1.0),
    ),
    "autostart": Declared(True, "Configure and activate without a lifecycle manager."),
}

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
