"""What of bags could not be read: counted, and named as far as anybody reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

#: So many damaged messages are named; the others are counted.
_NAMED = 100


@dataclass
class Damage:
    """Of one bag, or of several."""

    damaged: int = 0
    #: The first of the damaged messages, and what bags lack, each in a line.
    flaws: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What to put behind a line for people; empty where no message is damaged."""
        return f", {self.damaged} damaged messages left out" if self.damaged else ""

    def refuse(self, what: str) -> None:
        """Counts a message that cannot be used, and names it."""
        self.damaged += 1
        if len(self.flaws) < _NAMED:
            self.flaws.append(what)

    def note(self, flaws: Sequence[str]) -> None:
        """Adds what is new of a bag's flaws."""
        self.flaws = list(dict.fromkeys([*self.flaws, *flaws]))
