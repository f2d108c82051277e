"""What is arranged before the imports of the node, and what they leave for later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Starts the node's entry with this program's arguments; where the node would be, its environment.
PROGRAM = """
import os, sys, types
node = types.ModuleType("regseg_ros.segmenter")
names = ["OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"]
def main():
    early = "torch" in sys.modules
    import regseg_core
    print(*[os.environ.get(name) for name in names], early)
node.main = main
sys.modules["regseg_ros.segmenter"] = node
from regseg_ros import entry
entry.segmenter()
"""


def arranged(*arguments: str, **environment: str) -> str:
    """Threads, wait policy and spin count that PyTorch sees; whether it was there too early."""
    ours = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    inherited = {name: text for name, text in os.environ.items() if name not in ours}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    environment = {**inherited, **environment}
    return subprocess.check_output(command, env=environment, text=True).strip()


def test_threads_of_pytorch_spin_for_moments_unless_somebody_wants_else() -> None:
    assert arranged() == "None None 1000 False"
    assert arranged(OMP_WAIT_POLICY="active") == "None active None False"
    assert arranged(GOMP_SPINCOUNT="5") == "None None 5 False"


def test_parameters_win_over_the_environment() -> None:
    given = ["--ros-args", "-p", "threads:=3", "-p", "wait_policy:=passive", "--"]
    assert arranged(*given, GOMP_SPINCOUNT="5", OMP_NUM_THREADS="2") == "3 passive None False"


def test_parameters_of_a_file_count_for_the_nodes_they_are_for(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("/left/regseg:\n  ros__parameters:\n    threads: 3\n")
    given = ["--ros-args", "--params-file", str(file)]
    assert arranged(*given) == "None None 1000 False"
    assert arranged(*given, "-r", "__ns:=/left") == "3 None 1000 False"
    assert arranged(*given, "-r", "__ns:=/left", "-p", "threads:=2") == "2 None 1000 False"
    # Which values they may have, the node says.
    assert arranged("--ros-args", "-p", "threads:=many", "-p", "x:=[") == "None None 1000 False"


def test_the_node_starts_without_pytorchs_compiler() -> None:
    """It takes as long to import as the rest of PyTorch."""
    code = "import sys, regseg_ros.segmenter; print('torch._dynamo' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


@pytest.mark.parametrize(
    ("module", "parameter"),
    [("segmenter", "camera_height (float, 0.0)"), ("video_source", "source (str, 'street')")],
)
def test_help_is_printed_and_nothing_starts(module: str, parameter: str) -> None:
    command = [sys.executable, "-m", f"regseg_ros.{module}", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.startswith(f"usage: ros2 run regseg_ros {module} --ros-args")
    assert parameter in said.stdout and not said.stderr
