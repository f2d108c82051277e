"""The mailbox keeps the newest item and wakes its reader."""

from __future__ import annotations

import threading

from regseg_ros.mailbox import Mailbox
from regseg_ros.worker import Worker


def test_the_newest_item_wins() -> None:
    mailbox: Mailbox[int] = Mailbox()
    assert [mailbox.put(n) for n in (1, 2, 3)] == [False, True, True]
    assert mailbox.take() == 3
    assert mailbox.put(4) is False


def test_a_waiting_worker_gets_items_and_stops() -> None:
    mailbox: Mailbox[int] = Mailbox()
    seen: list[int] = []
    handled = threading.Event()

    def handle(item: int) -> None:
        seen.append(item)
        handled.set()

    worker = Worker(mailbox, handle)
    for item in (1, 2):
        mailbox.put(item)
        assert handled.wait(5)
        handled.clear()
    worker.stop()
    mailbox.put(3)
    assert seen == [1, 2]
    assert mailbox.take() is None
