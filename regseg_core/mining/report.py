"""Why these frames: for people, and for programs that read a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from regseg_core.arrays import Image
from regseg_core.drawing import FONT, INK, legend, side_by_side
from regseg_core.files import write_bytes
from regseg_core.mining.choosing import Chosen, Scored
from regseg_core.segmentation import Segmentation

#: Frames on a contact sheet, and beside one another.
MOST, _COLUMNS = 60, 3

#: Width and height of a thumbnail, and height of the lines under it, in pixels.
_WIDTH, _HEIGHT, _CAPTION = 208, 156, 38
_PAPER = 255


def summary(scored: Sequence[Scored], chosen: Sequence[Chosen], count: int) -> str:
    """One line: how many of how many, and where fewer than `count` are chosen, why."""
    line = f"chose {len(chosen)} of {len(scored)} frames"
    if len(chosen) == count:
        return line
    without = sum(row.score is None for row in scored)
    alike = len(scored) - without - len(chosen)
    reasons = [f"{alike} others are too like these"] * bool(alike)
    reasons += [f"{without} have no score"] * bool(without)
    return f"{line}, not {count}: {', '.join(reasons) or 'there are no more'}"


def write_why(path: Path, chosen: Sequence[Chosen]) -> None:
    """Writes CSV, a row for each frame in the order of choice. Raises FileError.

    `name`: of its file; `time_ns`: when it was recorded; `distance`: from the most similar other
    one that was chosen, 0 to 1.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["rank", "name", "bag", "camera", "time_ns", "score", "distance"])
    for entry in chosen:
        frame = entry.candidate
        distance = "" if entry.distance is None else f"{entry.distance:.4f}"
        place = (entry.name, frame.bag, frame.camera, frame.time_ns)
        rows.writerow([entry.rank, *place, f"{entry.score:.6f}", distance])
    write_bytes(path, text.getvalue().encode())


class ContactSheet:
    """The first MOST frames in the order of choice, each beside what the network makes of it.

    Add them in any order; thumbnails alone are kept.
    """

    def __init__(self) -> None:
        self._cells: dict[int, Image] = {}
        self._legend: Image | None = None

    def add(self, chosen: Chosen, seen: Segmentation) -> None:
        """A frame and its labels, which are drawn upright."""
        if chosen.rank > MOST:
            return
        turns = -seen.frame.rotation // 90
        panels = [_thumbnail(np.rot90(p, turns)) for p in (seen.frame.rgb(), seen.overlay())]
        self._cells[chosen.rank] = _captioned(side_by_side(panels), chosen)
        if self._legend is None:
            width = _COLUMNS * self._cells[chosen.rank].shape[1]
            self._legend = legend(seen.label_set.classes, width)

    def image(self) -> Image:
        """H x W x 3 uint8 RGB. Raises ValueError where nothing was added."""
        if self._legend is None:
            raise ValueError("a contact sheet needs at least one frame")
        cells = [self._cells[rank] for rank in sorted(self._cells)]
        cells += [np.full_like(cells[0], _PAPER)] * (-len(cells) % _COLUMNS)
        rows = [np.hstack(cells[i : i + _COLUMNS]) for i in range(0, len(cells), _COLUMNS)]
        return np.vstack([*rows, self._legend])


def _thumbnail(image: Image) -> Image:
    """Of any size -> _HEIGHT x _WIDTH x 3, its shape kept."""
    height, width = image.shape[:2]
    factor = min(_WIDTH / width, _HEIGHT / height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    whole = np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)
    top, left = (_HEIGHT - size[1]) // 2, (_WIDTH - size[0]) // 2
    whole[top : top + size[1], left : left + size[0]] = small
    return whole


def _captioned(panels: Image, chosen: Chosen) -> Image:
    """A cell with a margin to its right."""
    cell = np.full((_HEIGHT + _CAPTION, panels.shape[1] + 12, 3), _PAPER, np.uint8)
    cell[:_HEIGHT, : panels.shape[1]] = panels
    frame = chosen.candidate
    seconds, rest = divmod(frame.time_ns, 10**9)
    lines = (
        f"{chosen.rank}: score {chosen.score:.3f}, {seconds}.{rest // 10**6:03} s",
        f"{frame.camera} {frame.bag[-48:]}",
    )
    for index, line in enumerate(lines):
        place = (2, _HEIGHT + 14 + 16 * index)
        cv2.putText(cell, line, place, FONT, 0.4, INK, 1, cv2.LINE_AA)
    return cell
