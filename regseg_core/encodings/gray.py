"""Brightness alone."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor, nn

from regseg_core.arrays import Image
from regseg_core.encodings.encoding import Encoding


class Gray(Encoding):
    """One byte a pixel."""

    name, layout = "mono8", "H x W"

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        return height, width

    def size(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        return (shape[0], shape[1]) if len(shape) == 2 else None

    def decoder(self) -> nn.Module:
        return _Repeated()

    def to_rgb(self, pixels: Image) -> Image:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)

    def from_rgb(self, image: Image) -> Image:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


class _Repeated(nn.Module):
    """N x H x W uint8 -> N x 3 x H x W float32, thrice the same."""

    def forward(self, frames: Tensor) -> Tensor:
        # Not by `index_select`: OpenVINO drops it, and batches then lose their first dimension.
        return frames.float().unsqueeze(1).expand(-1, 3, -1, -1)
