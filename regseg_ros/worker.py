"""The thread that does the work, so that the executor only has to receive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic

from regseg_ros.mailbox import Item, Mailbox


class Worker(Generic[Item]):
    """Hands each item of a mailbox to `handle`, one after the other, until stopped.

    `handle` must not raise: one bad frame never stops the node.
    """

    def __init__(self, mailbox: Mailbox[Item], handle: Callable[[Item], None]) -> None:
        self._mailbox = mailbox
        self._handle = handle
        self._thread = threading.Thread(target=self._run, name="segmenting", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Closes the mailbox and waits for the item in work."""
        self._mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        while (item := self._mailbox.take()) is not None:
            self._handle(item)
