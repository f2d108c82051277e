"""When to ask why something does not come, and when to say that it comes again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

#: Seconds between two warnings about one camera.
EVERY = 10.0


@dataclass(frozen=True)
class Remark:
    """A line for the log."""

    text: str
    warning: bool


class Watch:
    """Is asked once a second about one camera's masks, or what is made of them.

    `after`: seconds without until the first warning; 0: there are none.
    """

    def __init__(self, after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._after, self._clock = after, clock
        self._wanted_since: float | None = None
        #: Since when nothing has come.
        self._since = clock()
        self._count = 0
        #: Whether the log's last word is a warning, and when one was given last.
        self._open, self._warned = False, float("-inf")

    @property
    def wanted_for(self) -> float | None:
        """Seconds since masks are wanted; None: they are not."""
        return None if self._wanted_since is None else self._clock() - self._wanted_since

    def ask(
        self, what: str, wanted: bool, count: int, why: Callable[[float], str | None]
    ) -> Remark | None:
        """What there is to say now, of what has come so often since the start.

        `why` is called with the seconds without where a warning is due.
        """
        now = self._clock()
        if not wanted:
            self._wanted_since, self._count, self._open = None, count, False
            return None
        if self._wanted_since is None:
            self._wanted_since = self._since = now
        without = now - self._since
        if count != self._count:
            over, self._open = self._open, False
            self._count, self._since = count, now
            return Remark(f"{what} again after {without:.0f} s", False) if over else None
        if not 0 < self._after <= without or now - self._warned < EVERY:
            return None
        if (text := why(without)) is None:
            return None
        self._open, self._warned = True, now
        return Remark(text, warning=True)
