"""What became of a camera's frames: exact counts, and rates and latencies of the last seconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: What becomes of a frame: each received one ends as one of the others, or is in work.
COUNTS = ("received", "segmented", "dropped", "unwanted", "refused", "failed")

#: Why a frame is dropped; each drop counts here, too.
REPLACED = "replaced by a newer one"
OVER_RATE = "over max_rate"
TOO_OLD = "older than max_age_ms"
COMPILING = "backend compiling"
DROPS = (REPLACED, OVER_RATE, TOO_OLD, COMPILING)

#: Frames that the transport has lost, so that they were never received.
LOST = "lost"

#: Seconds that rates and latencies are taken over. Longer than the pause between two frames of any
#: camera that one steers by, so that figures and status do not flip between two frames.
WINDOW = 10.0
#: Latencies kept at most.
_KEPT = 1000
#: Seconds between two marks that rates are counted from.
_MARK_EVERY = 0.9


@dataclass(frozen=True)
class Report:
    """A camera's figures at one time. Rates in Hz and latencies in s are of the last `WINDOW` s."""

    #: Frames by the names of `COUNTS`, `DROPS` and `LOST`, since the start.
    totals: Mapping[str, int]
    #: The same of the last `WINDOW` seconds.
    recent: Mapping[str, int]
    #: The same since the last mask, or the start.
    since_mask: Mapping[str, int]
    #: Seconds that `recent` covers.
    seconds: float
    #: Seconds from receiving a frame to publishing, of those in the window.
    latencies: Sequence[float]
    #: The same of the last frames, however long ago.
    last_latencies: Sequence[float]
    #: Seconds since a frame was received, or since the start.
    silence: float
    #: Seconds since the first frame that came after the last mask, not of those over `max_rate`; 0
    #: where none has come.
    unanswered: float
    #: Why the last frame was refused, and why the last one failed; empty: none was.
    last_refusal: str
    last_failure: str

    @property
    def in_work(self) -> int:
        """Frames that were received and have not come to an end yet."""
        return self.totals["received"] - sum(self.totals[name] for name in COUNTS[1:])

    def rate(self, what: str) -> float:
        """Frames a second, of a name of `COUNTS`."""
        return self.recent[what] / self.seconds

    def lately(self, what: str) -> int:
        """Frames in the window and since the last mask."""
        return min(self.recent[what], self.since_mask[what])

    @property
    def drop_share(self) -> float:
        """Share of the frames in the window that were dropped, not those that `max_rate` asks for.

        0..1; 0 where none came.
        """
        over_rate = self.recent[OVER_RATE]
        judged = self.recent["received"] - over_rate
        share = (self.recent["dropped"] - over_rate) / judged if judged > 0 else 0.0
        return min(max(share, 0.0), 1.0)  # a frame may be dropped some time after it came

    @property
    def lost_share(self) -> float:
        """Share of the frames in the window that the transport has lost, 0..1."""
        lost = self.recent[LOST]
        return lost / (lost + self.recent["received"]) if lost else 0.0


def percentiles(latencies: Sequence[float]) -> dict[int, float]:
    """p50, p95 and p99 in ms, by their numbers; empty where there are none."""
    if not latencies:
        return {}
    values = np.percentile(latencies, (50, 95, 99)) * 1000
    return {percent: float(value) for percent, value in zip((50, 95, 99), values, strict=True)}


class FrameStatistics:
    """Counts a camera's frames; written by the executor and the worker, read by the timer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._totals = dict.fromkeys((*COUNTS, *DROPS, LOST), 0)
        self._reasons = {"refused": "", "failed": ""}
        self._latencies: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._at_mask = dict(self._totals)
        self._last_frame = now = clock()
        #: When the first frame came that has no mask yet, and whether none has come after it.
        self._unanswered: float | None = None
        self._newest_is_first = False
        #: Counts at moments of the window, oldest first: its rates are counted from the first.
        self._marks = deque([(now, dict(self._totals))])

    def count(self, what: str, why: str = "") -> None:
        """Adds one frame to a count of COUNTS other than `segmented`.

        `why`: of a frame that is dropped (one of DROPS), refused or failed (a sentence).
        """
        with self._lock:
            self._totals[what] += 1
            if what == "received":
                self._last_frame = now = self._clock()
                self._newest_is_first = self._unanswered is None
                if self._newest_is_first:
                    self._unanswered = now
            elif what == "dropped":
                self._totals[why or REPLACED] += 1
                if why == OVER_RATE and self._newest_is_first:
                    self._unanswered = None  # it is to have no mask
            elif what in self._reasons:
                self._reasons[what] = why

    def lose(self, frames: int) -> None:
        """Adds frames that the transport says it has lost."""
        with self._lock:
            self._totals[LOST] += frames

    def segmented(self, latency: float) -> None:
        """Adds one segmented frame, `latency` seconds after it was received."""
        with self._lock:
            self._totals["segmented"] += 1
            self._latencies.append((self._clock(), latency))
            self._at_mask = dict(self._totals)
            self._unanswered = None

    def report(self) -> Report:
        """The figures now."""
        with self._lock:
            now, totals = self._clock(), dict(self._totals)
            while len(self._marks) > 1 and self._marks[1][0] <= now - WINDOW:
                self._marks.popleft()
            since, before = self._marks[0]
            if now - self._marks[-1][0] >= _MARK_EVERY:
                self._marks.append((now, totals))
            latencies = list(self._latencies)
            return Report(
                totals=totals,
                recent={name: totals[name] - before[name] for name in totals},
                since_mask={name: totals[name] - self._at_mask[name] for name in totals},
                seconds=max(now - since, 1e-6),
                latencies=[latency for when, latency in latencies if when > now - WINDOW],
                last_latencies=[latency for _, latency in latencies],
                silence=now - self._last_frame,
                unanswered=0.0 if self._unanswered is None else now - self._unanswered,
                last_refusal=self._reasons["refused"],
                last_failure=self._reasons["failed"],
            )
