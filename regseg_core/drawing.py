"""Images for people: frames, masks and overlays side by side, with a legend of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from regseg_core.arrays import Image
from regseg_core.labels import LabelClass

FONT = cv2.FONT_HERSHEY_SIMPLEX
_GAP = 6
INK, _PAPER = (40, 40, 40), 255


def side_by_side(panels: Sequence[Image]) -> Image:
    """H x W x 3 uint8 images of one height -> one, with a white gap between them."""
    gap = np.full((panels[0].shape[0], _GAP, 3), _PAPER, np.uint8)
    parts = [part for panel in panels for part in (panel, gap)][:-1]
    return np.concatenate(parts, axis=1)


def legend(classes: Sequence[LabelClass], width: int) -> Image:
    """A strip `width` pixels wide with the colour and name of each class: H x W x 3 uint8."""
    row, column = 30, 150
    columns = max(1, (width - _GAP) // column)
    rows = -(-len(classes) // columns)
    strip = np.full((rows * row + _GAP, width, 3), _PAPER, np.uint8)
    for index, entry in enumerate(classes):
        x, y = _GAP + index % columns * column, _GAP + index // columns * row
        cv2.rectangle(strip, (x, y), (x + 28, y + 18), entry.color, -1)
        cv2.putText(strip, entry.name, (x + 36, y + 15), FONT, 0.5, INK, 1, cv2.LINE_AA)
    return strip


def sheet(
    rows: Sequence[Sequence[Image]], titles: Sequence[str], classes: Sequence[LabelClass]
) -> Image:
    """Rows of panels under their titles, and the legend: H x W x 3 uint8.

    Panels are resized to the first one's size.

    Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("a sheet needs at least one row")
    height, column = rows[0][0].shape[:2]
    bodies = [side_by_side([_resized(p, height, column) for p in panels]) for panels in rows]
    width = bodies[0].shape[1]
    head = np.full((26, width, 3), _PAPER, np.uint8)
    for index, title in enumerate(titles):
        cv2.putText(head, title, (index * (column + _GAP) + 4, 19), FONT, 0.6, INK, 1, cv2.LINE_AA)
    gap = np.full((_GAP, width, 3), _PAPER, np.uint8)
    parts = [head, *(part for body in bodies for part in (body, gap)), legend(classes, width)]
    return np.concatenate(parts, axis=0)


def _resized(panel: Image, height: int, width: int) -> Image:
    if panel.shape[:2] == (height, width):
        return panel
    return cv2.resize(panel, (width, height)).astype(np.uint8, copy=False)
