"""Work in a thread of its own, that ends with it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def apart(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises, computed in a thread that has then ended.

    OpenMP keeps a team of threads for each thread that PyTorch has run in, as long as that one
    lives. Two teams share the processor's cores, and each waits for its slowest: what loads or
    warms up in one thread for frames that run in another has to leave no team behind.
    """
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()
