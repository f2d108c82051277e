"""Brightness for every pixel, colour (chroma) for one or for several together."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from regseg_core.arrays import Image
from regseg_core.encodings.encoding import Encoding
from regseg_core.errors import FrameError

#: BT.601 at limited range (Y' 16..235), which is what drivers mean; docs/encodings.md says why.
#: To three decimals as in OpenCV's conversions, so that labels are those of converted frames.
_GAIN, _RED_V, _GREEN_U, _GREEN_V, _BLUE_U = 1.164, 1.596, -0.391, -0.813, 2.018
_BLACK, _GRAY = 16, 128

_TO_YUV = np.array(
    [[0.257, 0.504, 0.098, 16], [-0.148, -0.291, 0.439, 128], [0.439, -0.368, -0.071, 128]]
)
_TO_RGB = np.array([[_GAIN, 0, _RED_V, 0], [_GAIN, _GREEN_U, _GREEN_V, 0], [_GAIN, _BLUE_U, 0, 0]])
_TO_RGB[:, 3] = _TO_RGB[:, :3] @ [-_BLACK, -_GRAY, -_GRAY]


class Packed422(Encoding):
    """Pairs of pixels of a row in four bytes: a brightness each, U and V for both.

    `luma`: the place of a pixel's brightness among its two bytes. `to_rgb`: OpenCV's conversion.
    """

    def __init__(self, name: str, luma: int, to_rgb: int) -> None:
        self.name, self.layout, self.multiples = name, "H x W x 2 with W even", (1, 2)
        self._luma, self._to_rgb = luma, to_rgb

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        return height, width, 2

    def size(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        fits = len(shape) == 3 and shape[2] == 2 and shape[1] % 2 == 0
        return (shape[0], shape[1]) if fits else None

    def decoder(self) -> nn.Module:
        return _Pairs(self._luma)

    def to_rgb(self, pixels: Image) -> Image:
        return cv2.cvtColor(pixels, self._to_rgb).astype(np.uint8, copy=False)

    def from_rgb(self, image: Image) -> Image:
        luma, chroma = _to_yuv(image, self)
        planes = [luma, chroma.reshape(luma.shape)]
        return np.stack(planes if self._luma == 0 else planes[::-1], axis=-1)


class SemiPlanar(Encoding):
    """A plane of brightness, then one of U and V by turns: one of each for `cell` x `cell` pixels.

    `u`: the place of U in those two bytes. `to_rgb`: OpenCV's conversion, None where it has none.
    The chroma of nv24 (`cell` 1) has rows of twice the length; in an array each lies in two rows.
    """

    def __init__(self, name: str, cell: int, u: int, to_rgb: int | None = None) -> None:
        self.name, self.multiples = name, (cell, cell)
        self.layout = "3/2 H x W with H and W even" if cell == 2 else "3 H x W"
        self._cell, self._u, self._to_rgb = cell, u, to_rgb

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        return height + 2 * height // self._cell**2, width

    def size(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        if len(shape) != 2:
            return None
        height = shape[0] * self._cell**2 // (self._cell**2 + 2)
        fits = not self.refusal(height, shape[1]) and self.shape(height, shape[1]) == shape
        return (height, shape[1]) if fits else None

    def unpadded(self, rows: Image, height: int, width: int) -> Image:
        if self._cell > 1 or rows.shape[1] == width:
            return super().unpadded(rows, height, width)
        # V4L2: a row of chroma is twice as long as one of brightness, and so is its padding.
        chroma = rows[height:].reshape(height, -1)[:, : 2 * width]
        return np.concatenate([rows[:height, :width], chroma.reshape(-1, width)])

    def decoder(self) -> nn.Module:
        return _Planes(self._cell, self._u)

    def to_rgb(self, pixels: Image) -> Image:
        if self._to_rgb is not None:
            return cv2.cvtColor(pixels, self._to_rgb).astype(np.uint8, copy=False)
        luma, chroma = np.split(pixels, [len(pixels) // 3])
        luma = np.maximum(luma, _BLACK)
        yuv = np.concatenate([luma[..., None], chroma.reshape(*luma.shape, 2)], axis=-1)
        return cv2.transform(yuv, _TO_RGB).astype(np.uint8, copy=False)

    def from_rgb(self, image: Image) -> Image:
        luma, chroma = _to_yuv(image, self)
        chroma = chroma if self._u == 0 else chroma[..., ::-1]
        return np.concatenate([luma, chroma.reshape(-1, luma.shape[1])])


def _to_yuv(image: Image, encoding: Encoding) -> tuple[Image, Image]:
    """H x W x 3 RGB -> Y of H x W; U and V, each the mean of its pixels. Raises FrameError."""
    height, width = image.shape[:2]
    if reason := encoding.refusal(height, width):
        raise FrameError(reason)
    yuv = cv2.transform(image, _TO_YUV).astype(np.uint8, copy=False)
    rows, columns = encoding.multiples
    size = (width // columns, height // rows)
    chroma = cv2.resize(yuv[..., 1:], size, interpolation=cv2.INTER_AREA)
    return yuv[..., 0], chroma.astype(np.uint8, copy=False)


class _Pairs(nn.Module):
    """N x H x W x 2 uint8 -> N x 3 x H x W float32."""

    def __init__(self, luma: int) -> None:
        super().__init__()
        self.luma = luma

    def forward(self, frames: Tensor) -> Tensor:
        count, height, width, _ = frames.shape
        pairs = frames.float().reshape(count, height, width // 2, 4)
        # In planes: OpenVINO takes twice as long over neighbouring bytes.
        planes = pairs.permute(0, 3, 1, 2)
        luma, chroma = planes[:, self.luma :: 2], planes[:, 1 - self.luma :: 2]
        pixels = _rgb(luma, chroma[:, :1], chroma[:, 1:])
        return pixels.permute(0, 1, 3, 4, 2).reshape(count, 3, height, width)


class _Planes(nn.Module):
    """N x rows x W uint8 -> N x 3 x H x W float32."""

    def __init__(self, cell: int, u: int) -> None:
        super().__init__()
        self.cell, self.u = cell, u

    def forward(self, frames: Tensor) -> Tensor:
        planes = frames.float()
        count, rows, width = planes.shape
        cell = self.cell
        height = rows * cell**2 // (cell**2 + 2)
        down, across = height // cell, width // cell
        luma = planes[:, :height].reshape(count, down, cell, across, cell)
        chroma = planes[:, height:].reshape(count, down, 1, across, 1, 2)
        pixels = _rgb(luma, chroma[..., self.u], chroma[..., 1 - self.u])
        return pixels.reshape(count, 3, height, width)


def _rgb(luma: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """N x ... of brightness, and chroma that broadcasts to it -> N x 3 x ..., whole numbers.

    Broadcasting gives each pixel the nearest chroma, as OpenCV does, and copies none of it.
    """
    luma, u, v = (luma - _BLACK).clamp(min=0) * _GAIN, u - _GRAY, v - _GRAY
    channels = (
        luma + _RED_V * v,
        luma + (_GREEN_U * u + _GREEN_V * v),
        luma + _BLUE_U * u,
    )
    return torch.stack(channels, dim=1).round().clamp(0, 255)
