"""What tests of the library share."""

from __future__ import annotations

from pathlib import Path

import pytest
from pools import made_pool, small_pool

from regseg_core import Segmenter


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return made_pool(tmp_path / "pool")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_pool(tmp_path / "small")


@pytest.fixture(scope="session")
def segment() -> Segmenter:
    """The shipped weights, by PyTorch."""
    return Segmenter(device="cpu", precision="float32", backend="eager")
