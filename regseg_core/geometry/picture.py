"""One picture of what a camera knows of the ground: image, mask, and the map from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from regseg_core.arrays import Doubles, Image
from regseg_core.drawing import FONT, INK, legend, side_by_side
from regseg_core.geometry.drawing import LINE, FromAbove, cost_colors
from regseg_core.geometry.grid import Grid
from regseg_core.groups import LETHAL, UNKNOWN
from regseg_core.labels import LabelClass

_HEAD = 26


def map_legend() -> list[LabelClass]:
    """What the colours of a map mean."""
    table = cost_colors()
    meant = {"free": 0, "at a cost": LETHAL // 2, "lethal": LETHAL, "unknown": UNKNOWN}
    rows = [(name, tuple(map(int, table[cost]))) for name, cost in meant.items()]
    rows.append(("free space ends", LINE))
    return [
        LabelClass(number, name, (red, green, blue))
        for number, (name, (red, green, blue)) in enumerate(rows)
    ]


@dataclass(frozen=True)
class Ground:
    """The ground as a camera at (0, 0) knows it, which looks along x.

    `cells`: as `GroundGrid.add` makes them, each of `cell` metres. `ahead`, `left`: metres, the
    line at which free space ends.
    """

    cells: Grid
    cell: float
    ahead: Doubles
    left: Doubles

    def map(self, height: int) -> Image:
        """From above, `height` rows: H x W x 3 uint8 RGB; as wide as what is known."""
        reach = self.cells.shape[1] * self.cell
        known = np.flatnonzero((self.cells >= 0).any(axis=1))
        half = len(self.cells) / 2
        beside = max(abs(known + 0.5 - half).max() + 1.5, half / 3) if len(known) else half
        above = FromAbove(reach, beside * self.cell, (height - FromAbove.foot) / reach)
        above.grid(self.cells, self.cell)
        above.line(self.ahead, self.left)
        above.scale_bars()
        return above.image


def ground_picture(
    camera: Image, mask: Image, ground: Ground, classes: Sequence[LabelClass]
) -> Image:
    """Camera and mask (H x W x 3 uint8 RGB) on the left, the map on the right, and their legend."""
    left = [_titled("camera", camera), _titled("mask", mask)]
    column = np.concatenate(left, axis=0)
    above = _titled("the ground from above", ground.map(len(column) - _HEAD))
    body = side_by_side([column, above])
    keys = [legend(entries, body.shape[1]) for entries in (classes, map_legend())]
    return np.concatenate([body, *keys], axis=0)


def _titled(text: str, panel: Image) -> Image:
    head = np.full((_HEAD, panel.shape[1], 3), 255, np.uint8)
    cv2.putText(head, text, (4, 19), FONT, 0.6, INK, 1, cv2.LINE_AA)
    return np.concatenate([head, panel], axis=0)
