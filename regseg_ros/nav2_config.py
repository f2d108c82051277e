"""`python -m regseg_ros.nav2_config`: the YAML of Nav2's semantic layer, from weights' classes."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from regseg_core import zoo
from regseg_core.cli import add_weights_options, command_parser, errors_in_one_line
from regseg_core.errors import ArgumentError
from regseg_core.files import write_bytes
from regseg_core.groups import BUILT_IN, UNKNOWN, Group, Groups, Role
from regseg_core.labels import LabelSet
from regseg_core.weights import find_weights
from regseg_ros.launching import full_name, nav2_remappings
from regseg_ros.settings import GeometrySettings, InputSettings

#: What the layer is called among a costmap's plugins.
LAYER = "semantic_segmentation_layer"
#: The node's own clouds of the labels' size.
_OURS = ("ground_points", "points")
#: How far a depth camera is to be trusted, in m; as the plugin has it.
_DEPTH_RANGE = 5.0


@dataclass(frozen=True)
class Sources:
    """What the layer hears. `cameras`: names, none for a camera without one.

    `points`: ground_points or points of the node, or the topic of another cloud. `namespace`: the
    node's. Raises ArgumentError.
    """

    cameras: tuple[str, ...] = ()
    points: str = _OURS[0]
    namespace: str = ""

    def __post_init__(self) -> None:
        try:
            _ = InputSettings(cameras=self.cameras).camera_names
        except ValueError as error:
            raise ArgumentError(str(error)) from None
        if not self.are_ours and not self.points.startswith("/"):
            raise ArgumentError(
                f"--points {self.points}: give {', '.join(_OURS)}, or a topic with its slash, such"
                " as /depth/points"
            )
        if not self.are_ours and len(self.cameras) > 1:
            raise ArgumentError(
                f"--points {self.points} cannot be the cloud of {', '.join(self.cameras)} at once:"
                " give one camera at a time"
            )

    @property
    def are_ours(self) -> bool:
        """Whether the clouds are the node's, which have the stamps of the labels."""
        return self.points in _OURS

    def topics(self, camera: str) -> dict[str, str]:
        """The topics of a camera by the parameters that name them.

        All begin with a slash: a costmap has a namespace of its own.
        """
        rules = nav2_remappings([camera] if camera else [])
        names = ("segmentation_topic", "confidence_topic", "labels_topic")
        node = full_name(self.namespace, "regseg")
        cloud = "/".join(filter(None, [node, camera, self.points]))
        return {
            **{n: full_name(self.namespace, to) for n, (_, to) in zip(names, rules, strict=True)},
            "pointcloud_topic": cloud if self.are_ours else self.points,
        }


def layer(labels: LabelSet, groups: str, sources: Sources) -> dict[str, Any]:
    """The layer's parameters for weights with these classes.

    `groups`: the node's parameter of that name; empty: the labels show classes. Raises as
    Groups.load, and ArgumentError where nothing says what the classes cost.
    """
    types = [(group, names) for group, names in shown(labels, groups) if group.cost != UNKNOWN]
    if not types:
        raise ArgumentError("every group has the cost 255, unknown: the layer would have no class")
    found: dict[str, Any] = {
        "plugin": f"{LAYER}::SemanticSegmentationLayer",
        "enabled": True,
        # Equal stamps need not be looked for.
        "use_approximate_time_sync": not sources.are_ours,
        "observation_sources": "",
    }
    of_camera = {parameter_name(c or "camera", found): c for c in sources.cameras or ("",)}
    found["observation_sources"] = " ".join(of_camera)
    for name, camera in of_camera.items():
        found[name] = _source(sources, camera, types)
    return found


def shown(labels: LabelSet, groups: str) -> list[tuple[Group, tuple[str, ...]]]:
    """The groups, and the names in LabelInfo that mean each: its own, or those of its classes.

    Raises as Groups.load, and ArgumentError.
    """
    if groups:
        return [(group, (group.name,)) for group in Groups.load(groups, labels).groups]
    fitting = Groups.fitting(labels)
    if fitting is None:
        raise ArgumentError(
            f"no built-in groups hold all of {', '.join(labels.names)}: give --groups, a YAML file"
            f" or one of {', '.join(BUILT_IN)}, to this command and to the node"
        )
    return [(group, group.classes) for group in fitting.groups if group.classes]


def _source(
    sources: Sources, camera: str, types: list[tuple[Group, tuple[str, ...]]]
) -> dict[str, Any]:
    on_ground = sources.points == "ground_points"
    found: dict[str, Any] = {
        **sources.topics(camera),
        "max_obstacle_distance": GeometrySettings.ground_range if on_ground else _DEPTH_RANGE,
        "min_obstacle_distance": 0.3,
        "tile_map_decay_time": 5.0,
        # Of the pixels of a cell, what costs most counts.
        "use_cost_selection": True,
        "class_types": [],
    }
    for group, names in types:
        name = parameter_name(group.name, found)
        found["class_types"].append(name)
        found[name] = {
            "classes": list(names),
            "base_cost": group.cost,
            "max_cost": group.cost,
            "mark_confidence": 0,
            "samples_to_max_cost": 0,
            # Else ground that was seen for seconds outvotes, for some more, who steps on it.
            "dominant_priority": group.role in (Role.OBSTACLE, Role.DYNAMIC),
        }
    return found


def parameter_name(text: str, taken: Collection[str]) -> str:
    """A name as part of a parameter's: letters, digits and _, and none that is taken."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", text)
    # `on` is no text to every reader of YAML.
    if not re.match(r"[A-Za-z]", plain) or not isinstance(yaml.safe_load(plain), str):
        plain = f"class_{plain}"
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    return name


def to_yaml(parameters: Mapping[str, Any], comments: Collection[str]) -> str:
    """Comments, then the parameters of `layer`, each text in quotes."""
    lines = [*(f"# {line}" for line in comments), f"{LAYER}:", *_lines(parameters, "  ")]
    return "\n".join(lines) + "\n"


def _lines(parameters: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _lines(value, f"{indent}  ")
        else:
            # JSON is a part of YAML, and its quotes keep a class called `on` a text.
            yield f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}"


def _comments(options: argparse.Namespace, sources: Sources, labels: LabelSet) -> list[str]:
    given = {
        "weights": options.weights if options.weights != zoo.DEFAULT else "",
        "model": options.model or "",
        "labels": options.labels or "",
        "groups": options.groups,
        "cameras": f"[{', '.join(sources.cameras)}]" if sources.cameras else "",
        "namespace": sources.namespace,
        "label_size": "" if sources.are_ours else "[WIDTH, HEIGHT]",
    }
    launch = [shlex.quote(f"{name}:={value}") for name, value in given.items() if value]
    found = [
        "Below ros__parameters of a costmap; name it in its `plugins`, before the inflation layer.",
        f"The node: {' '.join(['ros2 launch regseg_ros segment.launch.py nav2:=true', *launch])}",
    ]
    if sources.points == "ground_points":
        found.append("It needs CameraInfo, and camera_height:=METRES or TF.")
    elif sources.are_ours:
        found.append("It needs depth_topic:=TOPIC and CameraInfo; points_stride makes it cheaper.")
    else:
        found.append(f"WIDTH and HEIGHT are those of {sources.points}.")
    if unknown := [
        name
        for group, names in shown(labels, options.groups)
        if group.cost == UNKNOWN
        for name in names
    ]:
        found.append(
            f"Of unknown cost, so not here: {', '.join(unknown)}. The layer says that it ignores"
            " them, and does."
        )
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("nav2_config", __doc__, "regseg_ros")
    add_weights_options(parser)
    parser.add_argument(
        "--groups", default="", help="as the node's: the labels show groups; empty: classes"
    )
    parser.add_argument(
        "--cameras", nargs="+", default=[], metavar="NAME", help="as the node's: several cameras"
    )
    parser.add_argument(
        "--points",
        default=Sources.points,
        help=f"the cloud: {', '.join(_OURS)} of the node, or a topic of the labels' size",
    )
    parser.add_argument("--namespace", default="", help="as the node's")
    parser.add_argument("-o", "--out", type=Path, help="file to write; the terminal if not given")
    options = parser.parse_args(arguments)
    with errors_in_one_line(options.debug):
        card, _ = find_weights(options.weights, options.model, options.labels)
        sources = Sources(tuple(options.cameras), options.points, options.namespace)
        parameters = layer(card.labels, options.groups, sources)
        text = to_yaml(parameters, _comments(options, sources, card.labels))
        if options.out is None:
            print(text, end="")
        else:
            write_bytes(options.out, text.encode())
            print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
