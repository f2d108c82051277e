"""Three or four bytes a pixel, one for each colour."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from regseg_core.arrays import Image
from regseg_core.encodings.encoding import Encoding


class Packed(Encoding):
    """`order`: where red, green and blue are among a pixel's `channels` bytes.

    `to_rgb`, `from_rgb`: OpenCV's conversions, None where it is RGB already.
    """

    def __init__(
        self,
        name: str,
        order: tuple[int, int, int],
        channels: int,
        to_rgb: int | None = None,
        from_rgb: int | None = None,
    ) -> None:
        self.name, self.layout = name, f"H x W x {channels}"
        self._order, self._channels = order, channels
        self._to_rgb, self._from_rgb = to_rgb, from_rgb

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        return height, width, self._channels

    def size(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        return (shape[0], shape[1]) if len(shape) == 3 and shape[2] == self._channels else None

    def decoder(self) -> nn.Module:
        return _Picked(self._order, self._channels)

    def to_rgb(self, pixels: Image) -> Image:
        return _convert(pixels, self._to_rgb)

    def from_rgb(self, image: Image) -> Image:
        return _convert(image, self._from_rgb)


class _Picked(nn.Module):
    """N x H x W x C uint8 -> the three channels of `order`, N x 3 x H x W float32."""

    order: Tensor

    def __init__(self, order: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        self.reordered = order != tuple(range(channels))
        self.register_buffer("order", torch.tensor(order, dtype=torch.int32), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        pixels = frames.float().permute(0, 3, 1, 2)
        return pixels.index_select(1, self.order) if self.reordered else pixels


def _convert(image: Image, conversion: int | None) -> Image:
    if conversion is None:
        return image
    return cv2.cvtColor(image, conversion).astype(np.uint8, copy=False)
