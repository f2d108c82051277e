"""What the node does, once a second on /diagnostics: rates, latency, drops, what runs where."""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from regseg_core import Segmenter

#: Frames over which latency percentiles are taken.
WINDOW = 300

#: What becomes of a frame: each received one ends as one of the others, or is in work.
COUNTS = ("received", "segmented", "dropped", "unwanted", "refused", "failed")


class FrameStatistics:
    """Counts frames; written by the executor and the worker, read by the timer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=WINDOW)
        self._totals = dict.fromkeys(COUNTS, 0)
        self._since = time.monotonic()
        self._before = dict(self._totals)

    def count(self, what: str) -> None:
        """Adds one frame to a count of COUNTS other than `segmented`."""
        with self._lock:
            self._totals[what] += 1

    def segmented(self, latency: float) -> None:
        """Adds one segmented frame, `latency` seconds after it was received."""
        with self._lock:
            self._totals["segmented"] += 1
            self._latencies.append(latency)

    def values(self) -> dict[str, float]:
        """Rates in Hz since the last call, latencies in ms, and counts since the start."""
        with self._lock:
            now = time.monotonic()
            seconds = max(now - self._since, 1e-6)
            rates = {
                name: (self._totals[key] - self._before[key]) / seconds
                for name, key in (
                    ("input rate (Hz)", "received"),
                    ("output rate (Hz)", "segmented"),
                    ("unwanted rate (Hz)", "unwanted"),
                )
            }
            self._since, self._before = now, dict(self._totals)
            percentiles = (
                np.percentile(self._latencies, (50, 95, 99)) * 1000 if self._latencies else ()
            )
            latencies = {
                f"latency p{percent} (ms)": float(value)
                for percent, value in zip((50, 95, 99), percentiles, strict=False)
            }
            return {**rates, **latencies, **self._totals}


def diagnostic_message(
    values: dict[str, float], name: str, topic: str, segment: Segmenter
) -> DiagnosticArray:
    """The statistics as one status; it warns while no frame arrives, or none is segmented."""
    status = DiagnosticStatus(name=f"{name}: segmentation", hardware_id=topic)
    if values["input rate (Hz)"] == 0:
        status.level, status.message = DiagnosticStatus.WARN, f"no frames on {topic}"
    elif values["unwanted rate (Hz)"] > 0:
        status.level, status.message = DiagnosticStatus.OK, "idle: nobody subscribes to an output"
    elif values["output rate (Hz)"] == 0:
        status.level, status.message = DiagnosticStatus.WARN, "frames arrive, none is segmented"
    else:
        status.level, status.message = DiagnosticStatus.OK, "segmenting"
    status.values = [
        KeyValue(key=key, value=f"{value:.1f}" if isinstance(value, float) else str(value))
        for key, value in values.items()
    ]
    health = segment.health
    about = {
        "runs": segment.description,
        "frames": "; ".join(f"{kind}: {name}" for kind, name in dict(health.running).items())
        or "none yet",
        "compiling": health.building or "nothing",
        "backends refused": "; ".join(f"{n}: {why}" for n, why in health.refused.items()) or "none",
        "backend failures": "; ".join(health.failures[-3:]) or "none",
    }
    status.values += [KeyValue(key=key, value=value) for key, value in about.items()]
    return DiagnosticArray(status=[status])
