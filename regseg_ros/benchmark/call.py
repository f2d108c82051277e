"""The baseline, in a process of its own: how long the Segmenter takes alone."""

from __future__ import annotations

import json
import sys
import time

from regseg_core.encodings import ENCODINGS
from regseg_core.segmenter import Segmenter
from regseg_ros.benchmark.pictures import pictures
from regseg_ros.benchmark.talking import serve


class Call:
    """One Segmenter and frames for it, called as the node calls it: with confidence."""

    def __init__(
        self, height: int, width: int, encoding: str, data: str, backend: str, precision: str
    ) -> None:
        self._encoding = encoding
        row = ENCODINGS[encoding]
        self._frames = [row.from_rgb(image) for image in pictures(data, height, width)]
        self._segment = Segmenter(backend=backend, precision=precision)
        spec = self._segment.spec(height, width, encoding, confidence=True)
        self._backend = self._segment.compile(spec)

    def describe(self) -> dict[str, str]:
        """What runs, compiled by now."""
        return {"backend": self._backend, "precision": self._segment.precision}

    def measure(self, seconds: float) -> dict[str, list[float]]:
        """Calls back to back: milliseconds of each, and of the mask that is drawn after it."""
        calls: list[float] = []
        masks: list[float] = []
        ends = time.monotonic() + seconds
        while time.monotonic() < ends or len(calls) < 3:
            frame = self._frames[len(calls) % len(self._frames)]
            started = time.perf_counter()
            result = self._segment(frame, self._encoding, confidence=True)
            done = time.perf_counter()
            result.mask()
            calls.append((done - started) * 1e3)
            masks.append((time.perf_counter() - done) * 1e3)
        return {"call": calls, "mask": masks}


def main() -> None:
    call = Call(**json.loads(sys.argv[1]))
    serve({"describe": call.describe, "measure": call.measure})


if __name__ == "__main__":
    main()
