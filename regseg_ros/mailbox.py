"""The newest frame of each camera, between the executor and the worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")

#: Seconds after which a silent sender is not waited for.
_SILENT = 1.0


class Mailbox(Generic[Item]):
    """Holds one item a sender; its next one replaces it, so a slow reader finds the newest.

    The reader takes up to `most` items at once, and waits up to `wait` seconds for those of the
    other senders. Who was served longest ago goes first, so that no sender crowds out another.
    """

    def __init__(self, most: int = 1, wait: float = 0.0) -> None:
        self._most, self._wait = most, wait
        self._changed = threading.Condition()
        self._items: dict[Hashable, Item] = {}
        self._last_put: dict[Hashable, float] = {}
        self._served: dict[Hashable, int] = {}
        self._turn = 0
        self._closed = False

    def put(self, sender: Hashable, item: Item) -> Item | None:
        """Leaves an item; returns the one that it replaces, which nobody has taken."""
        with self._changed:
            replaced = self._items.get(sender)
            self._items[sender] = item
            self._last_put[sender] = time.monotonic()
            self._changed.notify()
        return replaced

    def take(self) -> list[Item]:
        """Waits for items and takes them out; none once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            self._changed.wait_for(self._is_complete, self._wait)
            if self._closed:
                return []
            waiting = sorted(self._items, key=lambda sender: self._served.get(sender, 0))
            return [self._take_one(sender) for sender in waiting[: self._most]]

    def close(self) -> list[Item]:
        """Ends every `take` with nothing; returns what nobody has taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            left = list(self._items.values())
            self._items.clear()
            return left

    def _is_complete(self) -> bool:
        since = time.monotonic() - _SILENT
        active = sum(when > since for when in self._last_put.values())
        return self._closed or len(self._items) >= min(self._most, active)

    def _take_one(self, sender: Hashable) -> Item:
        self._turn += 1
        self._served[sender] = self._turn
        return self._items.pop(sender)
