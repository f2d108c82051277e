"""A map around the robot, from what its camera sees of the ground."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Image
from regseg_core.errors import ArgumentError
from regseg_core.geometry.ground import FreeSpace, GroundView

#: Of a nav_msgs/OccupancyGrid; costs lie between.
UNKNOWN, FREE, LETHAL = -1, 0, 100

#: Seconds between two stamps after which a robot is elsewhere; backwards, time has begun anew.
GAP = 1.0

Grid = npt.NDArray[np.int8]


class GroundGrid:
    """Cells of `view.cell` metres: from the camera `view.max_range` ahead and to either side.

    A cell is known where ground is seen there, nearer than what stops its bearing, and at the foot
    of that. `costs`: FREE to LETHAL by the id of a ground class; `feet`: the same of what stands,
    LETHAL where none is given. `votes`: frames of which the most frequent value counts. Raises
    ArgumentError.
    """

    def __init__(
        self,
        view: GroundView,
        costs: Mapping[int, int],
        votes: int = 3,
        feet: Mapping[int, int] | None = None,
    ) -> None:
        if votes < 1:
            raise ArgumentError(f"votes must be 1 or more, not {votes}")
        self.view, self.votes = view, votes
        self._table, self._feet = _table(costs, UNKNOWN), _table(feet or {}, LETHAL)
        self._frames: deque[Grid] = deque(maxlen=votes)
        self._newest = 0.0
        count = int(np.ceil(view.max_range / view.cell))
        #: Metres of each cell's centre: ahead, and to the left.
        self.ahead = (np.arange(count) + 0.5) * view.cell
        self.left = (np.arange(-count, count) + 0.5) * view.cell
        x, y = np.meshgrid(self.ahead, self.left)
        self._distance, bearing = np.hypot(x, y), np.arctan2(y, x)
        self._rows, self._columns = view.pixels_of(x, y)
        bearings = view.sweep.bearings
        step = bearings[1] - bearings[0]
        self._bearing = np.round((bearing - bearings[0]) / step).astype(np.int32)
        beside = (self._bearing < 0) | (self._bearing >= len(bearings))
        self._hidden = (self._rows < 0) | beside | (self._distance > view.max_range)
        self._bearing[beside] = 0

    def add(self, labels: Image, free: FreeSpace, taken: float = 0.0) -> Grid:
        """The map after one more frame: int8, left x ahead, from the right rear corner on.

        `labels`: H x W uint8, of which `free` is. `taken`: when, in s. Frames from before a gap,
        or from later on, where time has begun anew, have no vote.
        """
        if not 0 <= taken - self._newest <= GAP:
            self.forget()
        self._newest = taken
        found = self._table[labels[self._rows, self._columns]]
        ends = free.distances[self._bearing]
        with np.errstate(invalid="ignore"):
            found[~(self._distance < ends - self.view.cell / 2)] = UNKNOWN
        found[self._hidden] = UNKNOWN
        # By its foot, not by the cell's middle: a pole may be thinner than a cell.
        far, bearing = free.distances[free.stopped], free.bearings[free.stopped]
        x, y = far * np.cos(bearing) / self.view.cell, far * np.sin(bearing) / self.view.cell
        last = len(self.ahead) - 1
        ahead, left = np.minimum(x.astype(int), last), np.floor(y).astype(int) + last + 1
        feet = self._feet[labels[free.rows[free.stopped], free.columns[free.stopped]]]
        np.maximum.at(found, (np.clip(left, 0, 2 * last + 1), ahead), feet)
        self._frames.append(found)
        return self._most_frequent()

    def forget(self) -> None:
        """Begins anew, as when the robot has been carried away."""
        self._frames.clear()

    def _most_frequent(self) -> Grid:
        """What most frames that know a cell say; the highest cost of those named as often."""
        frames = np.stack(self._frames)
        if len(frames) == 1:
            return self._frames[0].copy()
        known = frames != UNKNOWN
        best, winner = np.zeros(frames.shape[1:], np.int32), np.full(frames.shape[1:], UNKNOWN)
        for frame, there in zip(frames, known, strict=True):
            named = np.where(there, (frames == frame).sum(axis=0), 0)
            better = (named > best) | ((named == best) & (frame > winner))
            best, winner = np.where(better, named, best), np.where(better, frame, winner)
        found: Grid = winner.astype(np.int8)
        return found


def _table(costs: Mapping[int, int], other: int) -> Grid:
    """256: the cost of each id, `other` where none is given. Raises ArgumentError."""
    if wrong := [f"{i}: {c}" for i, c in costs.items() if not FREE <= c <= LETHAL]:
        raise ArgumentError(f"costs must be {FREE} to {LETHAL}, not {', '.join(wrong)}")
    table = np.full(256, other, np.int8)
    for label, cost in costs.items():
        table[label] = cost
    return table
