"""One colour a pixel, behind a mosaic of filters: for OpenCV, before the graph."""

from __future__ import annotations

import cv2
import numpy as np

from regseg_core.arrays import Image
from regseg_core.errors import FrameError

#: By the names that ROS gives them, after the first row's pixels. OpenCV names the same mosaics
#: after the second row's second and third, so that ROS' rggb is its BG.
#: Bilinear: on CamVid its labels are nearer to the colour frame's than those of OpenCV's VNG, as
#: near as those of its edge-aware one, and it is the fastest.
BAYER: dict[str, int] = {
    "bayer_rggb8": cv2.COLOR_BayerBG2BGR,
    "bayer_bggr8": cv2.COLOR_BayerRG2BGR,
    "bayer_gbrg8": cv2.COLOR_BayerGR2BGR,
    "bayer_grbg8": cv2.COLOR_BayerGB2BGR,
}


def demosaic(mosaic: Image, encoding: str) -> Image:
    """H x W uint8 in an encoding of `BAYER` -> H x W x 3 uint8 BGR.

    Raises FrameError below 3 x 3 pixels, which OpenCV makes black.
    """
    if min(mosaic.shape) < 3:
        height, width = mosaic.shape
        raise FrameError(f"{encoding} needs at least 3 x 3 pixels, not {height} x {width}")
    return cv2.cvtColor(mosaic, BAYER[encoding]).astype(np.uint8, copy=False)
