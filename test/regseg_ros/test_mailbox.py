"""The mailbox keeps the newest item and wakes its reader."""

from __future__ import annotations

import threading

from regseg_ros.mailbox import Mailbox
from regseg_ros.worker import Worker


def test_the_newest_item_of_each_sender_wins() -> None:
    mailbox: Mailbox[int] = Mailbox()
    assert [mailbox.put("front", n) for n in (1, 2, 3)] == [False, True, True]
    assert mailbox.put("rear", 7) is False
    assert mailbox.take() == [3, 7]
    assert mailbox.put("front", 4) is False
    assert mailbox.take() == [4]


def test_a_waiting_worker_gets_items_and_stops() -> None:
    mailbox: Mailbox[int] = Mailbox()
    seen: list[int] = []
    handled = threading.Event()

    def handle(items: list[int]) -> None:
        seen.extend(items)
        handled.set()

    worker = Worker(mailbox, handle)
    for item in (1, 2):
        mailbox.put("front", item)
        assert handled.wait(5)
        handled.clear()
    worker.stop()
    mailbox.put("front", 3)
    assert seen == [1, 2]
    assert mailbox.take() == []
