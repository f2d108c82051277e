"""One frame of the street: what the plan holds, as a pinhole camera sees it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Image
from regseg_core.data.synthetic.plan import ROAD_EDGE, Color, StreetPlan, Thing
from regseg_core.labels import CAMVID

Points = Sequence[tuple[float, float]]

CLASS = {name: index for index, name in enumerate(CAMVID.names)}

CAMERA_HEIGHT = 1.6
NEAR, FAR = 3.0, 90.0
#: Small things beyond this would be a few pixels wide.
SMALL_FAR = 18.0
#: Where surfaces that reach behind the camera are cut off.
CUT = 0.6


class Painter:
    """Paints `image` (H x W x 3 uint8 RGB) and `label` (H x W uint8 class indices) alike."""

    def __init__(self, plan: StreetPlan, width: int, height: int) -> None:
        self.plan = plan
        self.width, self.height = width, height
        self.horizon = height * plan.horizon
        self.focal = 0.8 * max(width, height * 4 / 3)
        self.image: Image = np.empty((height, width, 3), np.uint8)
        self.label: Image = np.empty((height, width), np.uint8)

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Metres right, up and ahead -> pixel column and row."""
        scale = self.focal / max(z, 0.05)
        return self.width / 2 + x * scale, self.horizon + (CAMERA_HEIGHT - y) * scale

    def upright(
        self, x: float, z: float, left: float, right: float, low: float, top: float
    ) -> Points:
        """The corners of a rectangle that faces the camera; metres relative to (x, ground)."""
        x0, y0 = self.project(x + left, top, z)
        x1, y1 = self.project(x + right, low, z)
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]

    def wall(self, x: float, near: float, far: float, low: float, top: float) -> Points:
        """The corners of a rectangle along the street."""
        corners = ((low, near), (top, near), (top, far), (low, far))
        return [self.project(x, y, z) for y, z in corners]

    def strip(self, left: float, right: float, near: float, far: float) -> Points:
        """The corners of a strip of ground."""
        corners = ((left, near), (right, near), (right, far), (left, far))
        return [self.project(x, 0, z) for x, z in corners]

    def fill(self, points: Points, name: str, color: Color) -> None:
        """A surface of a class."""
        cv2.fillPoly(self.label, [pixels(points)], (CLASS[name],))
        self.tint(points, color)

    def tint(self, points: Points, color: Color) -> None:
        """Colour alone: a detail of what is there already."""
        cv2.fillPoly(self.image, [pixels(points)], color)

    def disc(
        self, center: tuple[float, float], radii: tuple[float, float], name: str, color: Color
    ) -> None:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        xs, ys = center[0] + radii[0] * np.cos(angles), center[1] + radii[1] * np.sin(angles)
        self.fill(list(zip(xs, ys, strict=True)), name, color)

    def ground(self, travelled: float) -> None:
        """Sky, pavement and road, after so many metres of driving."""
        fade = np.linspace(0.85, 1.15, self.height)[:, None, None]
        self.image[:] = np.clip(np.array(self.plan.sky) * fade, 0, 255)
        self.label[:] = CLASS["sky"]
        # A far row of trees closes the street.
        top, low = self.horizon - 0.035 * self.height, self.horizon + 2
        closing = [(0.0, top), (self.width, top), (self.width, low), (0.0, low)]
        self.fill(closing, "tree", (88, 100, 78))
        self.fill(self.strip(-400, 400, 0.5, 4000), "pavement", self.plan.slabs)
        self.fill(self.strip(-ROAD_EDGE, ROAD_EDGE, 0.5, 4000), "road", self.plan.asphalt)
        for side in (-1, 1):
            kerb = self.strip(side * ROAD_EDGE, side * (ROAD_EDGE + 0.15), 0.5, FAR)
            self.tint(kerb, (176, 172, 165))
            line = self.strip(side * (ROAD_EDGE - 0.5), side * (ROAD_EDGE - 0.35), 0.5, FAR)
            self.tint(line, (190, 180, 110))
        for step in range(int(FAR // 6) + 2):
            z = step * 6.0 - travelled % 6.0
            if z > 0.5:
                self.tint(self.strip(-0.1, 0.1, z, z + 3), (205, 205, 205))

    def paint(self, thing: Thing, z: float) -> None:
        """A thing whose near end is `z` metres ahead, where the camera sees it."""
        if thing.kind in ("building", "fence"):
            if z + thing.depth > NEAR and z < FAR:
                getattr(self, thing.kind)(thing, z)
            return
        small = thing.kind in ("lamp", "sign", "pedestrian", "bicyclist")
        if NEAR < z < (SMALL_FAR if small else FAR):
            getattr(self, thing.kind)(thing, z)

    def building(self, thing: Thing, z: float) -> None:
        near, far, x = max(z, CUT), z + thing.depth, thing.x
        outer = x + np.sign(x) * thing.width
        front = [
            self.project(px, py, near)
            for px, py in ((x, 0), (x, thing.height), (outer, thing.height), (outer, 0))
        ]
        self.fill(front, "building", thing.color)
        self.fill(self.wall(x, near, far, 0, thing.height), "building", _scaled(thing.color, 0.8))
        red, green, blue = _scaled(thing.color, 0.45)
        for floor in range(int(thing.height // 3)):
            for bay in range(max(1, int((far - near) // 3))):
                start = far - 2.6 - 3 * bay
                if start > near:
                    low = 3 * floor + 1.0
                    window = self.wall(x, start, start + 1.6, low, low + 1.5)
                    self.tint(window, (red + 25, green + 25, blue + 37))

    def fence(self, thing: Thing, z: float) -> None:
        near, far = max(z, CUT), z + thing.depth
        self.fill(self.wall(thing.x, near, far, 0, thing.height), "fence", thing.color)
        self.tint(self.wall(thing.x, near, far, 0.5, 0.6), (60, 60, 62))

    def tree(self, thing: Thing, z: float) -> None:
        self.fill(self.upright(thing.x, z, -0.25, 0.25, 0, thing.height / 2), "tree", (84, 66, 50))
        scale = self.focal / z
        # The same tree has the same leaves in every frame.
        shape = np.random.default_rng(int(thing.x * 1000) % 2**31)
        for _ in range(9):
            across, up = shape.uniform(-0.4, 0.4) * thing.width, shape.uniform(0.45, 0.85)
            center = self.project(thing.x + across, up * thing.height, z)
            radius = thing.width * shape.uniform(0.22, 0.34) * scale
            leaves = _scaled(thing.color, shape.uniform(0.7, 1.15))
            self.disc(center, (radius, radius), "tree", leaves)

    def lamp(self, thing: Thing, z: float) -> None:
        half, top = thing.width / 2, thing.height
        self.fill(self.upright(thing.x, z, -half, half, 0, top), "pole", thing.color)
        arm = -float(np.sign(thing.x)) * 1.6
        over_road = self.upright(thing.x, z, min(0.0, arm), max(0.0, arm), top - 0.3, top)
        self.fill(over_road, "pole", thing.color)

    def sign(self, thing: Thing, z: float) -> None:
        top = thing.height
        self.fill(self.upright(thing.x, z, -0.12, 0.12, 0, top), "pole", (120, 122, 124))
        radius = thing.width / 2 * self.focal / z
        self.disc(self.project(thing.x, top, z), (radius, radius), "sign", thing.color)
        bar = self.upright(thing.x, z, -0.28, 0.28, top - 0.1, top + 0.1)
        self.tint(bar, (235, 235, 235))

    def car(self, thing: Thing, z: float) -> None:
        half, height = thing.width / 2, thing.height
        shadow = self.strip(thing.x - half, thing.x + half, z - 0.3, z + 3)
        self.tint(shadow, (45, 45, 48))
        for side in (-half, half - 0.35):
            self.fill(self.upright(thing.x, z, side, side + 0.35, 0, 0.6), "car", (24, 24, 26))
        body = self.upright(thing.x, z, -half, half, 0.25, 0.62 * height)
        self.fill(body, "car", thing.color)
        (left, base), (right, _) = body[0], body[1]
        _, top = self.project(0, height, z)
        inset = 0.16 * (right - left)
        roof = [(left, base), (left + inset, top), (right - inset, top), (right, base)]
        self.fill(roof, "car", thing.color)
        glass = self.upright(thing.x, z, -0.62 * half, 0.62 * half, 0.66 * height, 0.92 * height)
        self.tint(glass, (52, 60, 70))
        lights = (190, 40, 36) if thing.speed > 0 else (240, 236, 210)
        for side in (-0.95 * half, 0.6 * half):
            lamp = self.upright(thing.x, z, side, side + 0.35 * half, 0.4 * height, 0.52 * height)
            self.tint(lamp, lights)

    def pedestrian(self, thing: Thing, z: float) -> None:
        self._person(thing, z, 0.0, "pedestrian")

    def bicyclist(self, thing: Thing, z: float) -> None:
        scale = self.focal / z
        for radius, color in ((0.36, (30, 30, 32)), (0.24, (90, 92, 96))):
            center = self.project(thing.x, 0.36, z)
            self.disc(center, (0.45 * radius * scale, radius * scale), "bicyclist", color)
        self._person(thing, z, 0.4, "bicyclist")

    def _person(self, thing: Thing, z: float, lifted: float, name: str) -> None:
        half, top = thing.width / 2, thing.height + lifted
        legs = self.upright(thing.x, z, -0.7 * half, 0.7 * half, lifted, lifted + 0.85)
        self.fill(legs, name, (48, 50, 66))
        coat = self.upright(thing.x, z, -half, half, lifted + 0.75, top - 0.28)
        self.fill(coat, name, thing.color)
        radius = 0.17 * self.focal / z
        self.disc(self.project(thing.x, top - 0.16, z), (radius, radius), name, (196, 152, 128))


def pixels(points: Points) -> npt.NDArray[np.int32]:
    """The corners as OpenCV takes them: N x 2 whole columns and rows."""
    # Far outside the image OpenCV's fixed-point coordinates would overflow.
    return np.array(points).round().clip(-8192, 8192).astype(np.int32)


def _scaled(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor
