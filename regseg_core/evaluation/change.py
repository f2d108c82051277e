"""How the score of each class changes: what the gates of engines and of new weights share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regseg_core.errors import RegSegError
from regseg_core.labels import LabelSet

#: Points of IoU, in percent, that a class may lose.
CLASS_MAY_LOSE = 1.0


class WorseError(RegSegError):
    """New weights that are worse than the old ones, or cannot be held against them."""


@dataclass(frozen=True)
class Change:
    """IoU of each class in percent, before and after; None: it does not occur."""

    names: tuple[str, ...]
    before: list[float | None]
    after: list[float | None]

    @property
    def lost(self) -> dict[str, float]:
        """Points that each class has lost; negative where it gained."""
        both = zip(self.names, self.before, self.after, strict=True)
        return {name: a - b for name, a, b in both if a is not None and b is not None}

    @property
    def mean_lost(self) -> float:
        return float(np.mean(list(self.lost.values()))) if self.lost else 0.0

    @property
    def worst(self) -> str:
        """The class that falls too far, and how far; empty where none does."""
        name = max(self.lost, key=lambda name: self.lost[name], default="")
        if not name or self.lost[name] <= CLASS_MAY_LOSE:
            return ""
        return f"{name} falls by {self.lost[name]:.2f} points (at most {CLASS_MAY_LOSE})"

    def refuse_if_worse(self) -> None:
        """Raises WorseError where a class falls too far."""
        if self.worst:
            raise WorseError(f"the new weights are worse: {self.worst}")

    def table(self, before: str, after: str) -> str:
        """For people; titles of the two columns."""
        width = max(map(len, self.names))
        rows = [f"{'class':{width}}  {before:>8}  {after:>8}  points lost"]
        for name, lost in self.lost.items():
            place = self.names.index(name)
            values = f"{self.before[place]:8.2f}  {self.after[place]:8.2f}"
            rows.append(f"{name:{width}}  {values}  {lost:11.2f}")
        return "\n".join(rows)


def refuse_others(old: LabelSet, new: LabelSet) -> None:
    """Raises WorseError where the classes of old and new weights differ."""
    if old.names != new.names:
        raise WorseError(
            f"the old weights have the classes {', '.join(old.names)}, the new ones"
            f" {', '.join(new.names)}: hold weights of the same classes against one another"
        )
