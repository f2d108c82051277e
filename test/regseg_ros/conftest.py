"""What the tests of the node share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import Installed, build
from rig import Rig, rig

from regseg_core import Segmenter


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Rig]:
    """A rig on which nothing runs yet."""
    with rig(tmp_path) as made:
        yield made


@pytest.fixture
def running(started: Rig) -> Iterator[Rig]:
    """The active node of a module's fixture `started`, which its tests share."""
    yield started
    started.forget()


@pytest.fixture(scope="session")
def segment() -> Segmenter:
    """What the node of a rig computes."""
    return Segmenter(backend="eager")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package as colcon installs it, built once."""
    return build(tmp_path_factory.mktemp("workspace"))
