"""What the system says of other processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that a process has started, and that still run."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}").glob("task/*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # The thread has ended since.
            found += map(int, path.read_text().split())
    return found
