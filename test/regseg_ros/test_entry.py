"""What is arranged before the imports of the node, and what they leave for later."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, sys, types
node = types.ModuleType("regseg_ros.segmenter")
node.main = lambda: print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)
sys.modules["regseg_ros.segmenter"] = node
from regseg_ros import entry
entry.segmenter()
"""


def test_threads_of_pytorch_do_not_spin_unless_somebody_wants_it() -> None:
    def policy(**environment: str) -> str:
        inherited = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.check_output(command, env={**inherited, **environment}, text=True)

    assert policy() == "passive False\n", "PyTorch has yet to be imported"
    assert policy(OMP_WAIT_POLICY="active") == "active False\n"


def test_the_node_starts_without_pytorchs_compiler() -> None:
    """It takes as long to import as the rest of PyTorch."""
    code = "import sys, regseg_ros.segmenter; print('torch._dynamo' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
