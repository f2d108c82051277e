"""Which frame: where it came from, and when."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, order=True, slots=True)
class Candidate:
    """A frame that might be labelled; ordered by bag, camera and time.

    `bag`: what its recording is called; `camera`: its topic; `time_ns`: its stamp in nanoseconds.
    """

    bag: str
    camera: str
    time_ns: int

    @property
    def name(self) -> str:
        """A file name without suffix for it: letters, digits, points, dashes and underscores."""
        parts = (self.bag, self.camera, str(self.time_ns))
        return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part).strip("-.") for part in parts)
