"""Waiting for what happens in other threads and processes."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds that anything may take on a busy machine.
PATIENCE = 30.0


def until(what: Callable[[], object]) -> None:
    """Returns once `what` holds; AssertionError where it never does."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)
