"""Places for people: costs by colour, the ground from above, points from behind the camera."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Doubles, Image
from regseg_core.drawing import FONT, INK
from regseg_core.geometry.camera_model import Floats
from regseg_core.geometry.grid import LETHAL, Grid
from regseg_core.groups import LETHAL as LETHAL_COST
from regseg_core.groups import UNKNOWN

#: RGB of costs, between which others lie: free, the dearest that one may drive on, lethal.
FREE = (126, 190, 120)
_DEAR, _LETHAL = (247, 205, 70), (176, 32, 36)
_UNKNOWN = (150, 150, 150)
#: Of what ends the free space.
LINE = (20, 70, 200)

Color = tuple[int, int, int]


def cost_colors() -> Image:
    """256 x 3 uint8 RGB: the colour of each cost, 0 to 254; grey for 255, unknown."""
    share = np.arange(256)[:, None] / LETHAL_COST
    free, dear, lethal = (np.array(color) for color in (FREE, _DEAR, _LETHAL))
    table = np.where(
        share < 0.5, free + 2 * share * (dear - free), dear + (2 * share - 1) * (lethal - dear)
    )
    table[UNKNOWN] = _UNKNOWN
    return table.round().astype(np.uint8)


def cost_image(cost: Image) -> Image:
    """H x W uint8 costs -> H x W x 3 uint8 RGB."""
    return cv2.applyColorMap(cost, cost_colors().reshape(256, 1, 3)).astype(np.uint8, copy=False)


@dataclass
class FromAbove:
    """A map whose lower edge lies at the camera, which looks up: `image`, H x W x 3 uint8 RGB.

    It reaches `ahead` metres and `beside` to either side; `scale`: pixels a metre.
    """

    ahead: float
    beside: float
    scale: float
    image: Image = field(init=False)
    #: Rows below the camera, for its sign.
    foot: int = 26

    def __post_init__(self) -> None:
        height, width = round(self.ahead * self.scale), round(2 * self.beside * self.scale)
        self.image = np.full((height + self.foot, width, 3), _UNKNOWN, np.uint8)

    def grid(self, cells: Grid, cell: float) -> None:
        """A map as `GroundGrid.add` makes it, of cells of so many metres."""
        costs = np.where(cells < 0, UNKNOWN, cells * (LETHAL_COST / LETHAL)).round()
        shown = cost_image(np.ascontiguousarray(costs[::-1, ::-1].T.astype(np.uint8)))
        # Of each pixel of this map, the cell that holds it.
        height, width = self.image.shape[0] - self.foot, self.image.shape[1]
        up = len(shown) - 1 - np.floor((height - 0.5 - np.arange(height)) / self.scale / cell)
        over = np.floor((np.arange(width) + 0.5 - width / 2) / self.scale / cell)
        over += shown.shape[1] // 2
        inside = np.ix_((up >= 0) & (up < len(shown)), (over >= 0) & (over < shown.shape[1]))
        rows, columns = up[inside[0].ravel()], over[inside[1].ravel()]
        self.image[:height][inside] = shown[np.ix_(rows.astype(int), columns.astype(int))]

    def line(self, ahead: Doubles, left: Doubles, color: Color = LINE) -> None:
        """A line through places in metres; it breaks where one is not finite."""
        known = np.isfinite(ahead) & np.isfinite(left)
        pixels = self._pixels(ahead, left)
        for part in np.split(np.arange(len(known)), np.flatnonzero(np.diff(known)) + 1):
            if known[part].any():
                cv2.polylines(self.image, [pixels[part]], False, color, 2, cv2.LINE_AA)

    def area(self, ahead: Doubles, left: Doubles, color: Color) -> None:
        """What lies between the camera and places in metres, all finite."""
        camera = self._pixels(np.zeros(1), np.zeros(1))
        cv2.fillPoly(self.image, [np.concatenate([camera, self._pixels(ahead, left)])], color)

    def points(self, ahead: Floats, left: Floats, colors: Image, radius: int = 1) -> None:
        """N places in metres, in N x 3 uint8 RGB."""
        for (x, y), color in zip(self._pixels(ahead, left), colors, strict=True):
            cv2.circle(self.image, (int(x), int(y)), radius, tuple(map(int, color)), -1)

    def scale_bars(self, step: float = 5.0) -> None:
        """Lines across every so many metres, each with its distance; and the camera."""
        height, width = self.image.shape[0] - self.foot, self.image.shape[1]
        for metres in np.arange(step, self.ahead + 1e-6, step):
            row = max(0, height - round(metres * self.scale))
            cv2.line(self.image, (0, row), (width, row), INK, 1)
            self._write(f"{metres:g} m", (6, row + 16))
        cv2.rectangle(self.image, (0, height), (width, height + self.foot), (255, 255, 255), -1)
        middle = width // 2
        sign = np.array([(middle, height), (middle - 9, height + 16), (middle + 9, height + 16)])
        cv2.fillPoly(self.image, [sign.astype(np.int32)], INK)
        self._write("camera", (middle + 16, height + 16))

    def _pixels(self, ahead: Doubles | Floats, left: Doubles | Floats) -> npt.NDArray[np.int32]:
        height, width = self.image.shape[0] - self.foot, self.image.shape[1]
        x, y = width / 2 - left * self.scale, height - ahead * self.scale
        found = np.nan_to_num(np.stack([x, y], axis=-1), nan=-1e4, posinf=1e4, neginf=-1e4)
        return found.round().clip(-8192, 8192).astype(np.int32)

    def _write(self, text: str, at: tuple[int, int]) -> None:
        cv2.putText(self.image, text, at, FONT, 0.5, INK, 1, cv2.LINE_AA)


@dataclass(frozen=True)
class Onlooker:
    """Who looks at points from behind, above and beside the camera, in its optical frame (metres).

    `pitch`, `yaw`: radians down and to the left. `focal`: pixels.
    """

    right: float = 0.0
    up: float = 3.0
    back: float = 4.0
    pitch: float = 0.3
    yaw: float = 0.0
    width: int = 480
    height: int = 360
    focal: float = 384.0

    def sees(self, points: Floats, colors: Image, radius: int = 1) -> Image:
        """N x 3 points, NaN where unknown, in N x 3 uint8 RGB -> H x W x 3 uint8 RGB."""
        image = np.full((self.height, self.width, 3), (24, 24, 28), np.uint8)
        there = (points - np.array((self.right, -self.up, -self.back))) @ self._rotation.T
        seen = np.isfinite(there).all(axis=1) & (there[:, 2] > 0.2)
        there, colors = there[seen], colors[seen]
        order = np.argsort(-there[:, 2])  # far ones first, so that near ones hide them
        there, colors = there[order], colors[order]
        columns = (there[:, 0] / there[:, 2] * self.focal + self.width / 2).astype(int)
        rows = (there[:, 1] / there[:, 2] * self.focal + self.height / 2).astype(int)
        for down in range(-radius + 1, radius + 1):
            for across in range(-radius + 1, radius + 1):
                x, y = columns + across, rows + down
                inside = (x >= 0) & (y >= 0) & (x < self.width) & (y < self.height)
                image[y[inside], x[inside]] = colors[inside]
        return image

    @cached_property
    def _rotation(self) -> Doubles:
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        down = np.array([[1.0, 0, 0], [0, cos, -sin], [0, sin, cos]])
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        found: Doubles = down @ np.array([[cos, 0, sin], [0, 1.0, 0], [-sin, 0, cos]])
        return found
