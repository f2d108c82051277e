"""What stands and moves on the street, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Color = tuple[float, float, float]

#: Metres of street after which its furniture repeats.
STREET_LENGTH = 160.0
ROAD_EDGE = 4.6
PAVEMENT_EDGE = 8.2
#: Metres a second along the street.
CAMERA_SPEED = 6.0

_WALLS: list[Color] = [(150, 96, 78), (176, 158, 132), (196, 186, 170), (120, 104, 96)]
_SIGNS: list[Color] = [(196, 36, 40), (30, 72, 168), (232, 190, 40)]
_CLOTHES: list[Color] = [(140, 60, 60), (60, 80, 130), (70, 110, 80), (60, 60, 64), (160, 140, 90)]
_BODIES: list[Color] = [
    (168, 30, 32),
    (36, 62, 130),
    (214, 214, 216),
    (40, 42, 46),
    (150, 154, 160),
]


@dataclass(frozen=True)
class Thing:
    """Something on the street: what, where, how fast along z (m/s), how large, its colour."""

    kind: str
    x: float
    z: float
    speed: float
    width: float
    height: float
    color: Color
    #: Metres of extent along z; only buildings and fences have one.
    depth: float = 0.0


@dataclass(frozen=True)
class StreetPlan:
    """One street: its light and colours, its furniture and traffic."""

    #: Factor on all colours.
    light: float
    sky: Color
    asphalt: Color
    slabs: Color
    #: Row of the horizon as a share of the image's height.
    horizon: float
    things: tuple[Thing, ...]

    @classmethod
    def sample(cls, seed: int) -> StreetPlan:
        """Street number `seed`."""
        rng = np.random.default_rng(seed)
        return cls(
            light=float(rng.uniform(0.7, 1.1)),
            sky=_shade(rng, (185, 205, 230), 15),
            asphalt=_shade(rng, (92, 92, 96), 14),
            slabs=_shade(rng, (150, 142, 132), 16),
            horizon=float(rng.uniform(0.42, 0.48)),
            things=(*_furniture(rng), *_traffic(rng)),
        )


def _furniture(rng: np.random.Generator) -> Iterator[Thing]:
    """What lines both sides along `STREET_LENGTH` metres, and who walks there."""
    for side in (-1, 1):
        yield from _frontage(rng, side)
        for z in _spaced(rng, first=12, step=20):
            metal = _shade(rng, (88, 92, 96), 12)
            yield Thing("lamp", side * (ROAD_EDGE + 0.7), z, 0, 0.3, 6.5, metal)
        for z in _spaced(rng, first=20, step=32):
            color = _shade(rng, _SIGNS[rng.integers(len(_SIGNS))], 10)
            yield Thing("sign", side * (ROAD_EDGE + 1.3), z, 0, 0.95, 2.6, color)
        for z in _spaced(rng, first=20, step=26):
            green = _shade(rng, (78, 100, 56), 12)
            yield Thing("tree", side * (PAVEMENT_EDGE - 1), z, 0, 4, 6.5, green)
        for z in rng.uniform(0, STREET_LENGTH, 12):
            x = side * float(rng.uniform(ROAD_EDGE + 0.8, PAVEMENT_EDGE - 1))
            speed = float(rng.uniform(-1.4, 1.4))
            color = _shade(rng, _CLOTHES[rng.integers(len(_CLOTHES))], 25)
            yield Thing("pedestrian", x, float(z), speed, 0.55, 1.75, color)


def _frontage(rng: np.random.Generator, side: int) -> Iterator[Thing]:
    """Houses side by side, and now and then a fence with trees behind it."""
    x, z = side * PAVEMENT_EDGE, 0.0
    while z < STREET_LENGTH:
        depth = min(float(rng.uniform(9, 20)), STREET_LENGTH - z)
        if rng.choice([True, False], p=[0.78, 0.22]):
            color = _shade(rng, _WALLS[rng.integers(len(_WALLS))], 10)
            yield Thing("building", x, z, 0, 12, float(rng.uniform(6, 14)), color, depth)
        else:
            yield Thing("fence", x, z, 0, 0, 1.3, _shade(rng, (98, 104, 118), 10), depth)
            for spot in np.arange(z + 2, z + depth - 1, 4.0):
                green = _shade(rng, (74, 96, 52), 12)
                behind = x + side * float(rng.uniform(2.5, 6))
                yield Thing("tree", behind, float(spot), 0, 5, 7.5, green)
        z += depth


def _traffic(rng: np.random.Generator) -> Iterator[Thing]:
    """Keeps left, as in CamVid: ours moves with the camera, the other lane against it."""
    for lane, speed, count in ((-2.2, CAMERA_SPEED, 4), (2.2, -5.0, 5)):
        for z in np.linspace(0, STREET_LENGTH, count, endpoint=False) + rng.uniform(8, 24):
            color = _shade(rng, _BODIES[rng.integers(len(_BODIES))], 10)
            x = lane + float(rng.uniform(-0.3, 0.3))
            pace = speed + float(rng.uniform(-0.8, 0.8))
            yield Thing("car", x, float(z), pace, 1.8, 1.5, color)
    for z in rng.uniform(0, STREET_LENGTH, 6):
        color = _shade(rng, _CLOTHES[rng.integers(len(_CLOTHES))], 25)
        yield Thing("bicyclist", -3.9, float(z), float(rng.uniform(3, 5)), 0.6, 1.5, color)


def _spaced(rng: np.random.Generator, first: float, step: float) -> list[float]:
    return [float(z) for z in np.arange(float(rng.uniform(0, first)), STREET_LENGTH, step)]


def _shade(rng: np.random.Generator, color: Color, spread: float) -> Color:
    """A colour near another: brighter or darker by `spread`, its hue a third as far off."""
    moved = np.array(color) + rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    red, green, blue = np.clip(moved, 10, 250)
    return float(red), float(green), float(blue)
