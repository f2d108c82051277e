"""What every encoding of a camera's bytes can do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from torch import nn

from regseg_core.arrays import Image
from regseg_core.errors import FrameError


class Encoding(ABC):
    """How the pixels of one image lie in its bytes, under the name that ROS gives it."""

    #: As in sensor_msgs/Image.
    name: str
    #: The shape of its arrays, for people: `H x W x 3`.
    layout: str
    #: Height and width are multiples of these: so many rows and columns share their chroma.
    multiples: tuple[int, int] = (1, 1)

    @abstractmethod
    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Of the uint8 array that holds an image of that size: rows first, then a row's bytes."""

    @abstractmethod
    def size(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Height and width of the image in an array of that shape; None where none has it."""

    @abstractmethod
    def decoder(self) -> nn.Module:
        """N x `shape` uint8 -> N x 3 x H x W float32, RGB of 0..255; a part of the graph.

        The cast to float comes first: TensorRT does nothing else with bytes.
        """

    @abstractmethod
    def to_rgb(self, pixels: Image) -> Image:
        """`shape` uint8 -> H x W x 3 uint8 RGB, for people; the array itself where it is that."""

    @abstractmethod
    def from_rgb(self, image: Image) -> Image:
        """H x W x 3 uint8 RGB -> `shape` uint8; the image itself where it is that."""

    def refusal(self, height: int, width: int) -> str | None:
        """Why no image of that size can be in this encoding; None where one can."""
        rows, columns = self.multiples
        if height % rows == 0 and width % columns == 0:
            return None
        what = "height and width" if rows > 1 else "width"
        return f"{self.name} needs an even {what}, not {height} x {width} pixels"

    def unpadded(self, rows: Image, height: int, width: int) -> Image:
        """So many rows of a driver's bytes as `shape` has, padded at their ends -> `shape` uint8.

        A view wherever the padding can be skipped in steps.
        """
        shape = self.shape(height, width)
        return rows[:, : math.prod(shape[1:])].reshape(shape)

    def check(self, pixels: Image) -> tuple[int, int]:
        """Height and width of an array's image.

        Raises FrameError for what is no array of uint8, or of another shape.
        """
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            kind = pixels.dtype if isinstance(pixels, np.ndarray) else type(pixels).__name__
            hint = "; cv2.imread gives None for a file that it cannot read" * (pixels is None)
            raise FrameError(f"a frame must be a numpy array of uint8, not {kind}{hint}")
        size = self.size(pixels.shape)
        if size is None or 0 in size:
            raise FrameError(f"a {self.name} frame must be {self.layout}, not {pixels.shape}")
        return size
