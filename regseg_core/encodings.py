"""What a pixel's bytes mean: the encodings of frames, by the names that ROS gives them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from regseg_core.arrays import Image


@dataclass(frozen=True)
class Encoding:
    """One encoding of three or four bytes a pixel, or of one."""

    #: Where red, green and blue are among a pixel's bytes.
    order: tuple[int, int, int]
    #: Bytes of a pixel.
    channels: int
    #: OpenCV's conversions, None where it is RGB already.
    to_rgb: int | None
    from_rgb: int | None


ENCODINGS = {
    "rgb8": Encoding((0, 1, 2), 3, None, None),
    "bgr8": Encoding((2, 1, 0), 3, cv2.COLOR_BGR2RGB, cv2.COLOR_RGB2BGR),
    "rgba8": Encoding((0, 1, 2), 4, cv2.COLOR_RGBA2RGB, cv2.COLOR_RGB2RGBA),
    "bgra8": Encoding((2, 1, 0), 4, cv2.COLOR_BGRA2RGB, cv2.COLOR_RGB2BGRA),
    "mono8": Encoding((0, 0, 0), 1, cv2.COLOR_GRAY2RGB, cv2.COLOR_RGB2GRAY),
}


def to_rgb(frame: Image, encoding: str) -> Image:
    """A frame in that encoding -> H x W x 3 uint8 RGB, the frame itself if it is."""
    return _convert(frame, ENCODINGS[encoding].to_rgb)


def from_rgb(image: Image, encoding: str) -> Image:
    """H x W x 3 uint8 RGB -> H x W (x C) uint8 in that encoding, the image itself if it is RGB."""
    return _convert(image, ENCODINGS[encoding].from_rgb)


def _convert(image: Image, conversion: int | None) -> Image:
    if conversion is None:
        return image
    return cv2.cvtColor(image, conversion).astype(np.uint8, copy=False)
