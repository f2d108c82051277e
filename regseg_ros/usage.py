"""What a node prints for --help: its parameters. Knows nothing of ROS and PyTorch."""

from __future__ import annotations

import textwrap
from typing import Any

from regseg_ros.settings import described


def usage(executable: str, settings: type[Any]) -> str:
    """How a node is started, and each parameter with its default and meaning."""
    lines = [
        f"usage: ros2 run regseg_ros {executable} --ros-args -p NAME:=VALUE ...",
        f"       python -m regseg_ros.{executable} --ros-args --params-file FILE.yaml",
        "",
    ]
    for name, (default, entry) in described(settings).items():
        value = list(default) if isinstance(default, tuple) else default
        text = f"{entry.description} {entry.read}"
        lines.append(f"{name} ({type(value).__name__}, {value!r})")
        lines += textwrap.wrap(text, 96, initial_indent="    ", subsequent_indent="    ")
        if entry.choices:
            lines.append(f"    One of {', '.join(map(str, entry.choices))}.")
    return "\n".join(lines)
