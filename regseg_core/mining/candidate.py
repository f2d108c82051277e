"""Which frame: where it came from, and when."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True, slots=True)
class Candidate:
    """A frame that might be labelled; ordered by bag, camera and time.

    `bag`: what its recording is called; `camera`: its topic; `time_ns`: when it was recorded, in
    nanoseconds, the bag's log time; `repeat`: frames of that camera and time before it, where a
    simulator's clock is coarse.
    """

    bag: str
    camera: str
    time_ns: int
    repeat: int = 0

    @property
    def name(self) -> str:
        """A file name without suffix for it: letters, digits, points, dashes and underscores.

        Others may have the same: see `distinct_names`.
        """
        parts = (self.bag, self.camera, str(self.time_ns))
        return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part).strip("-.") for part in parts)


def distinct_names(candidates: Iterable[Candidate]) -> list[str]:
    """A file name without suffix for each: its own, the second of the same with a 2 behind it."""
    names: dict[str, None] = {}
    for candidate in candidates:
        name, number = candidate.name, 1
        while name in names:
            number += 1
            name = f"{candidate.name}_{number}"
        names[name] = None
    return [*names]
