"""What was measured when: a sensor's messages, and the segmentations that they belong to."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Any, Generic, TypeVar

from regseg_core.geometry.grid import GAP

Item = TypeVar("Item")
Message = TypeVar("Message")

#: Messages of a sensor that wait for their image: at 60 Hz those of 1.6 s, as a slow network needs;
#: large ones, beyond so many bytes, fewer.
_KEPT, _KEPT_LARGE, _LARGE = 100, 20, 64_000_000
#: Images that wait for their message: lidars come late.
_WAITING = 10


def nanoseconds(stamp: Any) -> int:
    """Of a builtin_interfaces/Time; not by rclpy's, which takes no stamp before 1970."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


class Kept(Generic[Message]):
    """The newest messages by their stamps, in nanoseconds. Safe between two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: OrderedDict[int, Message] = OrderedDict()
        self._bytes = 0

    def add(self, stamp: int, message: Message) -> None:
        """Keeps it in place of the oldest; alone, where time has begun anew."""
        with self._lock:
            # A bag in a loop, or a simulator that is reset: nothing would be later than the others.
            if self._messages and stamp < max(self._messages) - GAP * 1e9:
                self._forget()
            if stamp in self._messages:
                self._bytes -= _size(self._messages.pop(stamp))
            self._messages[stamp] = message
            self._bytes += _size(message)
            while len(self._messages) > (_KEPT if self._bytes < _LARGE else _KEPT_LARGE):
                self._bytes -= _size(self._messages.popitem(last=False)[1])

    def items(self) -> list[tuple[int, Message]]:
        """Stamps and messages as they came."""
        with self._lock:
            return list(self._messages.items())

    def best(self, stamp: int) -> Message | None:
        """What has this stamp, else what came last."""
        found = self.items()
        return dict(found).get(stamp, found[-1][1] if found else None)

    def clear(self) -> None:
        """Forgets them."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._messages.clear()
        self._bytes = 0


def _size(message: Any) -> int:
    """Bytes of a message's data, where it has some."""
    return len(getattr(message, "data", b""))


class Pairs(Generic[Item, Message]):
    """Items that wait for the message that was measured with them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Item]] = deque(maxlen=_WAITING)
        self._apart: float | None = None
        self._found = False

    def wait(self, stamp: int, item: Item) -> None:
        """Lets an item wait; the oldest goes where too many do, all where time has begun anew."""
        with self._lock:
            if self._waiting and stamp < self._waiting[-1][0] - GAP * 1e9:
                self._waiting.clear()
            self._waiting.append((stamp, item))

    def take(self, messages: Kept[Message], slop: float) -> tuple[Item, Message] | None:
        """The newest item whose message is there, at most `slop` seconds off; older ones go.

        An item waits until its message cannot come any more: until there is one of its stamp, or a
        later one, or too many wait.
        """
        there = messages.items()
        if not there:
            return None
        latest = max(stamp for stamp, _ in there)
        with self._lock:
            decided = [entry for entry in self._waiting if entry[0] <= latest]
            # A sensor whose clock is behind never sends a later one.
            if not decided and len(self._waiting) == _WAITING:
                decided = [self._waiting[0]]
            for entry in decided:
                self._waiting.remove(entry)
        found = None
        for stamp, item in decided:
            at, message = min(there, key=lambda entry: abs(entry[0] - stamp))
            apart = (at - stamp) * 1e-9
            if abs(apart) <= slop:
                found, self._apart, self._found = (item, message), None, True
            else:
                self._apart = apart
        return found

    def apart(self) -> float | None:
        """Seconds between the last item that found no message and the next one to it.

        None where one has found its message since the last question: of a fast camera not every
        image has one.
        """
        found, self._found = self._found, False
        return None if found else self._apart

    def clear(self) -> None:
        """Forgets what waits."""
        with self._lock:
            self._waiting.clear()
        self._apart, self._found = None, False
