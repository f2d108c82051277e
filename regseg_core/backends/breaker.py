"""Whether a backend that has failed may be tried again: a circuit breaker."""

from __future__ import annotations

import threading

#: So many batches a backend rests after its first failure, its second and its third; the next one
#: is its last. At 30 Hz memory that others need can be missing for half a minute.
RESTS = (10, 100, 1000)

#: After so many good batches its failures are forgotten.
FORGIVEN_AFTER = 1000


class Breaker:
    """Counts the batches of one backend, from several threads."""

    def __init__(self) -> None:
        self._failures = self._resting = self._good = 0
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether the backend may take the next batch; it rests for one batch less."""
        with self._lock:
            if self._resting:
                self._resting -= 1
                return False
            return True

    def succeeded(self) -> bool:
        """A batch was good: whether former failures are forgotten with it."""
        if not self._failures:
            return False
        with self._lock:
            self._good += 1
            if not self._failures or self._good < FORGIVEN_AFTER:
                return False
            self._failures = 0
            return True

    def failed(self) -> int | None:
        """A batch failed: for how many batches the backend rests now; None: for ever.

        0: it rests already, since batches of several threads failed at once.
        """
        with self._lock:
            self._good = 0
            if self._resting:
                return 0
            if self._failures >= len(RESTS):
                return None
            self._resting = RESTS[self._failures]
            self._failures += 1
            return self._resting
