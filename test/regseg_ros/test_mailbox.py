"""The mailbox keeps the newest item and wakes its reader."""

from __future__ import annotations

import threading

from regseg_ros.mailbox import Mailbox
from regseg_ros.worker import Worker


def test_the_newest_item_of_each_sender_wins() -> None:
    mailbox: Mailbox[int] = Mailbox(most=2)
    assert [mailbox.put("front", n) for n in (1, 2, 3)] == [None, 1, 2]
    assert mailbox.put("rear", 7) is None
    assert mailbox.take() == [3, 7]
    assert mailbox.put("front", 4) is None
    assert mailbox.take() == [4]


def test_who_was_served_longest_ago_goes_first() -> None:
    mailbox: Mailbox[str] = Mailbox(most=2)
    served = []
    for _ in range(6):
        for sender in ("a", "b", "c", "d"):
            mailbox.put(sender, sender)
        mailbox.put("a", "a")  # a fast one
        served += mailbox.take()
    assert {sender: served.count(sender) for sender in "abcd"} == dict.fromkeys("abcd", 3)


def test_the_first_item_waits_for_the_other_senders() -> None:
    mailbox: Mailbox[str] = Mailbox(most=4, wait=60)
    for sender in ("front", "rear"):
        mailbox.put(sender, sender)
    assert mailbox.take() == ["front", "rear"], "no others have sent anything"
    mailbox.put("rear", "rear again")
    later = threading.Timer(0.1, mailbox.put, ("front", "front again"))
    later.start()
    assert mailbox.take() == ["front again", "rear again"]
    later.join()


def test_what_nobody_has_taken_comes_back() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put("front", 1)
    mailbox.put("rear", 2)
    assert mailbox.close() == [1, 2]
    assert mailbox.take() == []


def test_a_waiting_worker_gets_items_and_stops() -> None:
    mailbox: Mailbox[int] = Mailbox()
    seen: list[int] = []
    handled = threading.Event()

    def handle(items: list[int]) -> None:
        seen.extend(items)
        handled.set()

    worker = Worker("test", mailbox, handle)
    for item in (1, 2):
        mailbox.put("front", item)
        assert handled.wait(5)
        handled.clear()
    worker.stop()
    mailbox.put("front", 3)
    assert seen == [1, 2]
    assert mailbox.take() == []
