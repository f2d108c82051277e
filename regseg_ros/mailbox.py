"""The newest frame of each camera, between the executor and the worker."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Holds one item a sender; its next one replaces it, so a slow reader finds the newest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: dict[Hashable, Item] = {}
        self._closed = False

    def put(self, sender: Hashable, item: Item) -> bool:
        """Leaves an item; returns whether it replaced one that nobody had taken."""
        with self._changed:
            replaced = sender in self._items
            self._items[sender] = item
            self._changed.notify()
        return replaced

    def take(self) -> list[Item]:
        """Waits for items and takes out all there are; none once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if self._closed:
                return []
            items = list(self._items.values())
            self._items.clear()
            return items

    def close(self) -> None:
        """Ends every `take` with nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
