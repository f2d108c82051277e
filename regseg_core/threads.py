"""The processor's threads: how PyTorch's wait, how many there are, work in one of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

# Read by PyTorch's OpenMP when it is imported, which `regseg_core` does after this. Its threads
# wait for one another at each operator, by default spinning for milliseconds: beside a program that
# wants a core, a call takes 4 to 26 times as long. Asleep at once, they take 1.5 times as long on
# idle cores. Microseconds of spinning cost nothing there, and a factor of 2 beside such a program.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def wanted() -> int | None:
    """How many threads the environment asks for, as OpenMP reads it; None: as many as there are."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def apart(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises, computed in a thread that has then ended.

    OpenMP keeps a team of threads for each thread that PyTorch has run in, as long as that one
    lives. Two teams share the processor's cores, and each waits for its slowest: what loads or
    warms up in one thread for frames that run in another has to leave no team behind.
    """
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()
