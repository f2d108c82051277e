"""What the launch files work out before the node runs. Knows nothing of ROS and PyTorch."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

_SECTION = "ros__parameters"
#: What Nav2's semantic layer is shown, under the names of its tutorial.
_NAV2_NAMES = {"label_small": "mask", "confidence_small": "confidence", "label_info": "label_info"}

#: Outputs that RViz shows by itself where a camera's height is known: they cost little.
_GROUND = ("grid", "free_space")


class LaunchError(ValueError):
    """Launch arguments that do not fit."""


def names(text: str) -> list[str]:
    """The names in '[front, rear]', 'front,rear' or 'front rear'."""
    return re.findall(r"[^\s,\[\]'\"]+", text)


def list_argument(name: str, text: str, default: Sequence[Any]) -> list[Any]:
    """A launch argument as a list of what `default`, the parameter's, is a list of.

    Numbers must be as many. Raises LaunchError.
    """
    found, kind = names(text), type(default[0])
    if kind is str:
        return found or [""]
    try:
        numbers = [kind(part) for part in found]
        fit = len(numbers) == len(default) and all(map(math.isfinite, numbers))
    except (ValueError, OverflowError):
        fit = False
    if not fit:
        what = "whole numbers" if kind is int else "numbers"
        raise LaunchError(f"{name}:={text}: give {len(default)} {what}, such as {list(default)}")
    return numbers


def nav2_remappings(cameras: Sequence[str]) -> list[tuple[str, str]]:
    """What Nav2's semantic layer is shown, and its topics: segmentation/mask and so on.

    Of named cameras segmentation/<camera>/mask. Not absolute: they lie in the node's namespace.
    """
    return [
        (f"~/{prefix}{output}", f"segmentation/{prefix}{name}")
        for prefix in [f"{camera}/" for camera in cameras] or [""]
        for output, name in _NAV2_NAMES.items()
    ]


def misspelt(given: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Names that are not known but close to one that is: `ros2 launch` says nothing of them.

    So is one that a single known name begins or ends with, as transport and image_transport. Where
    there are several, as of rate, it may be an argument of a launch file that includes ours.
    """
    found = {}
    for name in given:
        whole = [k for k in known if k.startswith(f"{name}_") or k.endswith(f"_{name}")]
        close = get_close_matches(name, known, 1, 0.85) or whole
        if name not in known and len(close) == 1:
            found[name] = close[0]
    return found


def full_name(namespace: str, name: str) -> str:
    """A node's name as the graph knows it."""
    return "/" + "/".join([*filter(None, namespace.split("/")), name])


def parameters_for(node: str, path: Path) -> dict[str, Any] | None:
    """What a parameters file sets for the node of this full name, such as `front.rotate`.

    None where no section is for it. Raises LaunchError for a file that cannot be read.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LaunchError(f"params_file {path}: {error}") from None
    fitting = [values for pattern, values in _sections(content, "") if _fits(pattern, node)]
    if not fitting:
        return None
    return {name: value for values in fitting for name, value in _flat(values, "")}


def sections(path: Path) -> list[str]:
    """The nodes that the sections of a parameters file, which can be read, are for."""
    return [pattern for pattern, _ in _sections(yaml.safe_load(path.read_text("utf-8")), "")]


def cameras_in(parameters: Mapping[str, Any]) -> list[str]:
    """The names of the cameras; none for one that has no name."""
    return [name for name in parameters.get("cameras") or [] if name]


def image_topics(cameras: Sequence[str], parameters: Mapping[str, Any]) -> list[str]:
    """The topic of each camera; of the unnamed one where there are no names."""
    if not cameras:
        return [parameters.get("image_topic") or "/camera/image_raw"]
    return [parameters.get(f"{name}.image_topic") or f"/{name}/image_raw" for name in cameras]


def rviz_config(
    template: str, node: str, cameras: Sequence[str], parameters: Mapping[str, Any] | None = None
) -> str:
    """RViz' configuration with the topics of the node of this full name.

    The template shows the unnamed camera of /regseg; of each of `cameras` the first display alone.
    Where a camera's height is among the node's `parameters`, its ground is shown as well; what
    costs more is there to be ticked.
    """
    given = parameters or {}
    config = yaml.safe_load(template)
    manager = config["Visualization Manager"]
    shown = []
    for camera in cameras or [""]:
        height = given.get(f"{camera}.camera_height") or given.get("camera_height") or 0.0
        for number, original in enumerate(manager["Displays"]):
            display = copy.deepcopy(original)
            output = display["Topic"]["Value"].rpartition("/")[2]
            if output in _GROUND and float(height) > 0:
                display["Enabled"] = display["Value"] = True
            elif camera and number:
                continue
            display["Topic"]["Value"] = "/".join(filter(None, [node, camera, output]))
            display["Name"] = f"{display['Name']} {camera}".rstrip()
            shown.append(display)
    manager["Displays"] = shown
    if frame := given.get("ground_frame"):
        manager["Global Options"]["Fixed Frame"] = frame
    return str(yaml.safe_dump(config, sort_keys=False))


def _sections(content: Any, above: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name that each section is for, and what it sets."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key == _SECTION:
                yield above, value or {}
            else:
                yield from _sections(value, f"{above}/{str(key).strip('/')}")


def _fits(pattern: str, node: str) -> bool:
    """Whether a section's name is for a node: * is one part of its name, ** any number."""
    parts = {"**": r"(/\w+)*", "*": r"/\w+"}
    expression = "".join(parts.get(p, f"/{re.escape(p)}") for p in pattern.split("/")[1:])
    return re.fullmatch(expression, node) is not None


def _flat(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    """Nested parameters by their full names, with dots."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
