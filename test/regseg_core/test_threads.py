"""Threads of PyTorch: one team alone, that of the thread in which frames are segmented."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from places import ROOT

#: Prints how many threads the process has: before, once all is loaded and warm, and with a frame.
PROGRAM = """
import os, time
import numpy as np
from regseg_core import Segmenter

def threads():
    return len(os.listdir("/proc/self/task"))

before = threads()
segment = Segmenter(backend="eager", cache=None)
segment.warm_up(segment.spec(96, 128))
for _ in range(100):  # those of a thread that has ended take a moment
    if (loaded := threads()) == before:
        break
    time.sleep(0.1)
segment(np.zeros((96, 128, 3), np.uint8))
print(before, loaded, threads())
"""


def printed(program: str, threads: int) -> str:
    """What a program prints where the environment asks for so many threads."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_loading_and_warming_up_leave_no_team_behind() -> None:
    before, loaded, running = map(int, printed(PROGRAM, threads=3).split())
    assert loaded == before, "a second team would share the cores with that of the frames"
    assert running > before, "the team of the thread in which frames are segmented"


@pytest.mark.slow
def test_openvino_takes_as_many_threads_as_openmp_is_told() -> None:
    program = """
import openvino, numpy as np
from regseg_core import Segmenter
found = []
import_model = openvino.Core.import_model
def imported(*arguments):
    found.append(import_model(*arguments))
    return found[-1]
openvino.Core.import_model = imported
segment = Segmenter(backend="openvino", cache=None)
segment(np.zeros((96, 128, 3), np.uint8))
print(found[0].get_property("INFERENCE_NUM_THREADS"))
"""
    assert printed(program, threads=1).strip() == "1"
