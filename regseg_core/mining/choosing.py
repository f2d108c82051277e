"""Which of the scored frames are labelled: unsure ones, unlike each other, from every bag."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regseg_core.errors import ArgumentError
from regseg_core.mining.candidate import Candidate, distinct_names
from regseg_core.mining.likeness import MIN_DISTANCE, Descriptor, distances

#: Candidates of a bag that are compared with the chosen ones at once.
_BLOCK = 64


@dataclass(frozen=True, eq=False, slots=True)
class Scored:
    """What is kept of a frame: 0.6 kB and 32 bytes a class."""

    candidate: Candidate
    #: How unsure the network is of it; None where the measure does not say.
    score: float | None
    descriptor: Descriptor


@dataclass(frozen=True, slots=True)
class Chosen:
    """A frame to be labelled."""

    candidate: Candidate
    score: float
    #: Its place in the order of choice, from 1.
    rank: int
    #: From the most similar other one that was chosen, 0 to 1; None where there is no other.
    distance: float | None
    #: Of its file, without suffix; no other one that was chosen has it.
    name: str


def choose(
    scored: Iterable[Scored], count: int, min_distance: float = MIN_DISTANCE
) -> list[Chosen]:
    """The frames to label, in the order of choice: `count`, or fewer where no others are left.

    Bags take turns, each gives the most uncertain of its frames that is no nearer than
    `min_distance` to any that was chosen before: scores of different drives do not compare, and by
    score alone one dark drive would take every place. In each turn the bag with the most uncertain
    frame comes first. Frames without a score are never chosen. The order of `scored` does not
    matter: of equal scores the first by bag, camera and time goes first.

    Raises ArgumentError for a count below 1, and a distance outside 0..1.
    """
    if count < 1:
        raise ArgumentError(f"count must be at least 1, not {count}")
    if not 0 <= min_distance <= 1:
        raise ArgumentError(f"the least distance must be from 0 to 1, not {min_distance}")
    bags: defaultdict[str, list[tuple[float, Candidate, Descriptor]]] = defaultdict(list)
    for row in scored:
        if row.score is not None:
            bags[row.candidate.bag].append((-row.score, row.candidate, row.descriptor))
    taken = _Taken(min(count, sum(map(len, bags.values()))))
    queues = [_Queue(rows, taken, min_distance) for rows in bags.values()]
    while not taken.full:
        heads = [(head, queue) for queue in queues if (head := queue.head()) is not None]
        if not heads:
            break
        for _, queue in sorted(heads, key=lambda entry: entry[0]):
            if not taken.full:
                queue.take()
    return taken.chosen()


class _Taken:
    """What is chosen so far."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.rows: list[tuple[float, Candidate]] = []
        self._descriptors: npt.NDArray[np.float32] | None = None

    @property
    def full(self) -> bool:
        return len(self.rows) == self.most

    def add(self, score: float, candidate: Candidate, descriptor: Descriptor) -> None:
        if self._descriptors is None:
            self._descriptors = np.empty((self.most, len(descriptor)), np.float32)
        self._descriptors[len(self.rows)] = descriptor
        self.rows.append((score, candidate))

    def descriptors(self, first: int) -> npt.NDArray[np.float32]:
        """Of those from the first-th on."""
        assert self._descriptors is not None
        return self._descriptors[first : len(self.rows)]

    def chosen(self) -> list[Chosen]:
        names = distinct_names(candidate for _, candidate in self.rows)
        return [
            Chosen(candidate, score, rank, self._nearest(rank - 1), name)
            for rank, (name, (score, candidate)) in enumerate(zip(names, self.rows, strict=True), 1)
        ]

    def _nearest(self, place: int) -> float | None:
        every = self.descriptors(0)
        far = distances(every[place : place + 1], every)[0]
        others = np.delete(far, place)
        return float(others.min()) if len(others) else None


class _Queue:
    """One bag's frames from the most uncertain on, without those too near to what is taken."""

    def __init__(
        self,
        rows: list[tuple[float, Candidate, Descriptor]],
        taken: _Taken,
        min_distance: float,
    ) -> None:
        self._rows = sorted(rows, key=lambda row: row[:2])
        self._taken, self._min_distance = taken, min_distance
        #: Places in `_rows` that were not too near to the first `_compared` of those taken.
        self._block: list[int] = []
        self._next = self._compared = 0

    def head(self) -> tuple[float, Candidate] | None:
        """The order of its best frame among bags; None where it has none left."""
        while True:
            self._drop_near()
            if self._block:
                return self._rows[self._block[0]][:2]
            if self._next == len(self._rows):
                return None
            end = min(self._next + _BLOCK, len(self._rows))
            self._block = list(range(self._next, end))
            self._next, self._compared = end, 0

    def take(self) -> None:
        """Gives its best frame, if it has one."""
        if self.head() is not None:
            negated, candidate, descriptor = self._rows[self._block.pop(0)]
            self._taken.add(-negated, candidate, descriptor)

    def _drop_near(self) -> None:
        count = len(self._taken.rows)
        if self._block and self._compared < count:
            own = np.stack([self._rows[place][2] for place in self._block]).astype(np.float32)
            far = distances(own, self._taken.descriptors(self._compared)).min(1)
            keep: Sequence[bool] = (far >= self._min_distance).tolist()
            self._block = [place for place, good in zip(self._block, keep, strict=True) if good]
        self._compared = count
