"""What is arranged by parameters before there is a node: how the processor's threads work.

Knows nothing of ROS and PyTorch, whose import reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from regseg_ros.launching import LaunchError, full_name, parameters_for
from regseg_ros.settings import ThreadSettings

_REMAP, _PARAM = ("-r", "--remap"), ("-p", "--param")


def arrange_threads(node: str, arguments: Sequence[str]) -> None:
    """Sets in the environment what the arguments of a node of this name say of threads.

    What is wrong with them is left for the node to say.
    """
    wanted = {**asdict(ThreadSettings()), **given(node, arguments)}
    if wanted["wait_policy"] == "passive":
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.pop("GOMP_SPINCOUNT", None)  # which would win
    threads = wanted["threads"]
    if isinstance(threads, int) and threads > 0:
        os.environ["OMP_NUM_THREADS"] = str(threads)


def given(node: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The parameters that the command line and its files give the node of this name, by name."""
    flags = list(_ros_flags(arguments))
    remapped = dict(text.split(":=", 1) for flag, text in flags if flag in _REMAP and ":=" in text)
    called = remapped.get("__node") or remapped.get("__name") or node
    name = full_name(remapped.get("__ns", ""), called)
    found: dict[str, Any] = {}
    for flag, text in flags:
        try:
            if flag == "--params-file":
                found |= parameters_for(name, Path(text)) or {}
            elif flag in _PARAM:
                key, _, value = text.partition(":=")
                found[key] = yaml.safe_load(value)
        except (LaunchError, yaml.YAMLError, AttributeError):
            continue
    return found


def _ros_flags(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Flags between --ros-args and -- with what follows each."""
    inside = False
    for argument, following in pairwise([*arguments, ""]):
        if argument in ("--ros-args", "--"):
            inside = argument == "--ros-args"
        elif inside:
            yield argument, following
