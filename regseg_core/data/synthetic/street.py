"""The street as a camera video and as a data set."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from torch.utils.data import Dataset

from regseg_core.arrays import Image
from regseg_core.data.synthetic.depth import DepthPainter
from regseg_core.data.synthetic.painter import Painter
from regseg_core.data.synthetic.plan import CAMERA_SPEED, STREET_LENGTH, StreetPlan, Thing
from regseg_core.errors import ArgumentError
from regseg_core.geometry.camera_model import CameraModel, Floats
from regseg_core.labels import CAMVID, LabelSet

#: What stands in place of a data set's folder or a camera for the synthetic street.
STREET = "street"

#: Streets from this one on are for scores: no training uses them. Street 0 is the demo's.
HELD_OUT_SEED = 10**6


class SyntheticStreet:
    """Street number `seed`, seen from a camera that drives along it.

    `frame(time)` is deterministic: the same seed, size and time give the same pixels.
    Raises ArgumentError for a size that is too small.
    """

    def __init__(self, width: int = 480, height: int = 360, seed: int = 0) -> None:
        if width < 32 or height < 32:
            raise ArgumentError(f"the street needs at least 32 x 32 pixels, not {width} x {height}")
        self.width, self.height = width, height
        self.seed = seed
        self.plan = StreetPlan.sample(seed)

    def frame(self, time: float) -> tuple[Image, Image]:
        """The scene at `time` seconds: H x W x 3 uint8 RGB, and H x W uint8 class indices."""
        painter = Painter(self.plan, self.width, self.height)
        self._paint(painter, time)
        noise = np.random.default_rng([self.seed, round(time * 1000)])
        grain = noise.normal(0, 5, painter.image.shape).astype(np.float32)
        image = cv2.GaussianBlur(painter.image, (3, 3), 0.6).astype(np.float32)
        return np.clip(image * self.plan.light + grain, 0, 255).astype(np.uint8), painter.label

    def depth(self, time: float) -> Floats:
        """Of that scene: H x W float32, metres along the optical axis; infinity in the sky."""
        painter = DepthPainter(self.plan, self.width, self.height)
        self._paint(painter, time)
        return painter.depth

    @property
    def camera(self) -> CameraModel:
        """What sees the street: level, CAMERA_HEIGHT above the road, its horizon off the middle."""
        painter = Painter(self.plan, self.width, self.height)
        middle = self.width / 2
        return CameraModel(
            *(self.width, self.height, painter.focal, painter.focal), middle, painter.horizon
        )

    def frames(self, rate: float) -> Iterator[tuple[Image, Image]]:
        """`frame` at 0, 1/rate, 2/rate ... seconds, without end."""
        step = 0
        while True:
            yield self.frame(step / rate)
            step += 1

    def _paint(self, painter: Painter, time: float) -> None:
        painter.ground(travelled=CAMERA_SPEED * time)
        placed = [(distance(thing, time), thing) for thing in self.plan.things]
        for z, thing in sorted(placed, key=lambda entry: -(entry[0] + entry[1].depth)):
            painter.paint(thing, z)


def distance(thing: Thing, time: float) -> float:
    """Metres from the camera to the thing's near end; what falls behind comes again in front."""
    distance = thing.z + (thing.speed - CAMERA_SPEED) * time
    return (distance + thing.depth) % STREET_LENGTH - thing.depth


class SyntheticStreets(Dataset[tuple[Image, Image]]):
    """`count` single frames, each of another street at another time; seeds from `first_seed` on."""

    def __init__(
        self, count: int, width: int = 480, height: int = 360, first_seed: int = 1
    ) -> None:
        self.labels: LabelSet = CAMVID
        self.unpaired: tuple[str, ...] = ()
        self.count, self.size, self.first_seed = count, (width, height), first_seed

    def __len__(self) -> int:
        return self.count

    def title(self, index: int) -> str:
        """What an error calls that frame."""
        return f"street {self.first_seed + index}"

    def __getitem__(self, index: int) -> tuple[Image, Image]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        seed = self.first_seed + index
        return SyntheticStreet(*self.size, seed=seed).frame(time=float(seed * 7919 % 60))
