"""The package built and installed by colcon, as on a robot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from places import ROOT

LEFT_OUT = shutil.ignore_patterns(".*", "build", "install", "log", "demo", "runs", "__pycache__")


@dataclass(frozen=True)
class Installed:
    """Where colcon put the package, and the environment that its setup files give."""

    prefix: Path

    @property
    def share(self) -> Path:
        return self.prefix / "share" / "regseg_ros"

    @property
    def executables(self) -> Path:
        return self.prefix / "lib" / "regseg_ros"

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base`, such as that of a sourced ROS, as the setup files would change it."""
        (packages,) = self.prefix.glob("lib/python*/site-packages")
        before = {"AMENT_PREFIX_PATH": self.prefix, "PYTHONPATH": packages}
        return {
            **base,
            **{
                name: os.pathsep.join(filter(None, [str(path), base.get(name, "")]))
                for name, path in before.items()
            },
        }


def colcon(verb: str, workspace: Path) -> None:
    """Runs a verb of colcon in a workspace, with its output in the error where it fails."""
    program = "import sys; from colcon_core.command import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", program, verb, "--event-handlers", "console_direct+"],
        cwd=workspace,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def build(workspace: Path) -> Installed:
    """Copies this checkout into a workspace and builds it there."""
    shutil.copytree(ROOT, workspace / "src" / "regseg_ros", ignore=LEFT_OUT)
    colcon("build", workspace)
    return Installed(workspace / "install" / "regseg_ros")
