"""What tests of both packages share."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from places import SHARED

# As in a ROS installation; CI has it.
if importlib.util.find_spec("rosbags") is None and "CI" not in os.environ:
    collect_ignore_glob = ["*/test_bag_*.py"]

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes enough for the cores: more threads would only take turns. Children inherit it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Outputs of the published code."""
    return _shared("reference")


@pytest.fixture(scope="session")
def camvid() -> Path:
    """Labelled driving frames."""
    return _shared("camvid")


def _shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"there is no ../shared/{name} beside this checkout")
    return SHARED / name


@pytest.fixture
def street() -> npt.NDArray[np.uint8]:
    """One RGB frame of the synthetic street, 360 x 480 x 3."""
    from regseg_core.data.synthetic import SyntheticStreet

    return SyntheticStreet().frame(0.0)[0]


@pytest.fixture
def unused_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The current stream of a GPU that is not there."""
    current = SimpleNamespace(cuda_stream=7, synchronize=lambda: None)
    monkeypatch.setattr("torch.cuda.current_stream", lambda device=None: current)
    return current
