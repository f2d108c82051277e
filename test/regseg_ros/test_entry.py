"""What is arranged before the imports of the node, and what they leave for later."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys, types
node = types.ModuleType("regseg_ros.segmenter")
node.main = lambda: print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
sys.modules["regseg_ros.segmenter"] = node
from regseg_ros import entry
entry.segmenter()
"""


def test_threads_of_pytorch_spin_for_moments_unless_somebody_wants_else() -> None:
    def spins(**environment: str) -> str:
        ours = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
        inherited = {name: text for name, text in os.environ.items() if name not in ours}
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.check_output(command, env={**inherited, **environment}, text=True)

    assert spins() == "1000 False\n", "PyTorch has yet to be imported"
    assert spins(OMP_WAIT_POLICY="active") == "None False\n"
    assert spins(GOMP_SPINCOUNT="5") == "5 False\n"


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
