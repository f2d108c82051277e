"""A camera image as its bytes came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from regseg_core.arrays import Image
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import FrameError
from regseg_core.rotation import ROTATIONS

Result = TypeVar("Result")


class Kind(NamedTuple):
    """What frames have in common that can run as one batch."""

    encoding: str
    height: int
    width: int
    rotation: int


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of `height` x `width` pixels in an encoding of `ENCODINGS`.

    `pixels`: uint8 of the encoding's shape, such as H x W x 3 for bgr8 and H x W for mono8; a view
    will do, so rows may be padded. `rotation`: how many degrees clockwise make the image upright,
    one of `ROTATIONS`. Raises FrameError for anything else. Where an encoding has several names,
    `encoding` becomes the first.
    """

    pixels: Image
    encoding: str
    height: int
    width: int
    rotation: int = 0

    def __post_init__(self) -> None:
        size = _check(self.pixels, self.encoding)
        object.__setattr__(self, "encoding", ENCODINGS[self.encoding].name)
        if size != (self.height, self.width):
            raise FrameError(
                f"the array holds {size[0]} x {size[1]} pixels of {self.encoding}, not"
                f" {self.height} x {self.width}"
            )
        if self.rotation not in ROTATIONS:
            raise FrameError(f"rotation {self.rotation}: give {', '.join(map(str, ROTATIONS))}")

    @classmethod
    def of(cls, pixels: Image, encoding: str = "bgr8", rotation: int = 0) -> Frame:
        """The frame in an array; its size is the array's. H x W x 1 is taken as H x W.

        Raises FrameError.
        """
        if getattr(pixels, "ndim", 0) == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        return cls(pixels, encoding, *_check(pixels, encoding), rotation)

    @property
    def kind(self) -> Kind:
        """What it has in common with those that can run beside it."""
        return Kind(self.encoding, self.height, self.width, self.rotation)

    def rgb(self) -> Image:
        """H x W x 3 uint8 RGB; a view of `pixels` where they are that."""
        return ENCODINGS[self.encoding].to_rgb(self.pixels)


def _check(pixels: Image, encoding: str) -> tuple[int, int]:
    if encoding not in ENCODINGS:
        raise FrameError(f"encoding {encoding!r}: convert to one of {', '.join(ENCODINGS)}")
    return ENCODINGS[encoding].check(pixels)


def by_kind(
    frames: Sequence[Frame], compute: Callable[[list[Frame]], Iterable[Result]]
) -> list[Result]:
    """What `compute` makes of each frame, in their order; it gets all frames of a kind at once."""
    alike: dict[Kind, list[int]] = {}
    for index, frame in enumerate(frames):
        alike.setdefault(frame.kind, []).append(index)
    found: dict[int, Result] = {}
    for indices in alike.values():
        results = compute([frames[index] for index in indices])
        found.update(zip(indices, results, strict=True))
    return [found[index] for index in range(len(frames))]


def stacked(frames: Sequence[Frame]) -> Tensor:
    """N x the encoding's shape; of one frame its own memory, only to be read."""
    if len(frames) > 1:
        return torch.from_numpy(np.stack([frame.pixels for frame in frames]))
    pixels = frames[0].pixels
    if min(pixels.strides) < 0:
        pixels = pixels.copy()  # PyTorch cannot share mirrored memory
    elif not pixels.flags.writeable:
        pixels = np.asarray(_Unlocked(pixels))
    return torch.from_numpy(pixels).unsqueeze(0)


class _Unlocked:
    """Read-only memory, such as that of `bytes`, which PyTorch would warn of."""

    def __init__(self, pixels: Image) -> None:
        self._pixels = pixels
        address, _ = pixels.__array_interface__["data"]
        self.__array_interface__ = {**pixels.__array_interface__, "data": (address, False)}
