"""The thread that does the work, so that the executor only has to receive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic

from regseg_ros.mailbox import Item, Mailbox


class Worker(Generic[Item]):
    """Hands what lies in a mailbox to `handle`, again and again, until stopped.

    `handle` must not raise: one bad frame never stops the node.
    """

    def __init__(
        self, name: str, mailbox: Mailbox[Item], handle: Callable[[list[Item]], None]
    ) -> None:
        self._mailbox = mailbox
        self._handle = handle
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> list[Item]:
        """Closes the mailbox and waits for the items in work; returns what was left in it."""
        left = self._mailbox.close()
        self._thread.join()
        return left

    def _run(self) -> None:
        while items := self._mailbox.take():
            self._handle(items)
