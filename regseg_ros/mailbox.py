"""The newest frame, between the executor that receives and the worker that segments."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Holds one item; putting another replaces it, so a slow reader finds the newest one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> bool:
        """Leaves an item; returns whether it replaced one that nobody had taken."""
        with self._changed:
            replaced = self._item is not None
            self._item = item
            self._changed.notify()
        return replaced

    def take(self) -> Item | None:
        """Waits for an item and takes it out; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Wakes the reader for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
