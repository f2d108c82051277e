"""Following pixels from one frame of a camera to the next."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Image

#: Share of the pixels. In CamVid 95 % can be followed for 1/15 s, a third or more for 1 s in two
#: frames of three, and at most 30 % to a frame of another place.
LEAST_FOLLOWED = 1 / 3

_Floats = npt.NDArray[np.float32]


def changed(before: Image, after: Image, labels_before: Image, labels_after: Image) -> float | None:
    """Share of the pixels of `after` whose label has changed since `before`, 0 to 1.

    All H x W uint8 of one size: two gray images of one camera, and their class indices. Labels are
    moved along the dense flow of Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV
    2016. Pixels count that can be followed there and back (Sundaram et al., Dense point
    trajectories by GPU-accelerated large displacement optical flow, ECCV 2010). One has
    changed where none of the nine labels around the place that it came from is its own: borders
    are not exact to a pixel, in labels or in flow. None where less than LEAST_FOLLOWED count.
    """
    back, forth = _flow(after, before), _flow(before, after)
    height, width = after.shape
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    columns, rows = columns + back[..., 0], rows + back[..., 1]
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    returned = cv2.remap(forth, columns, rows, cv2.INTER_LINEAR)
    missed = np.square(back + returned).sum(2)
    length = np.square(back).sum(2) + np.square(returned).sum(2)
    followed = inside & (missed <= 0.01 * length + 0.5)
    if np.mean(followed) < LEAST_FOLLOWED:
        return None
    same = np.zeros(followed.shape, np.bool_)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            moved = cv2.remap(
                *(labels_before, columns + right, rows + down, cv2.INTER_NEAREST),
                borderMode=cv2.BORDER_REPLICATE,
            )
            same |= moved == labels_after
    return float(1 - np.mean(same[followed]))


def _flow(start: Image, end: Image) -> _Floats:
    """H x W x 2 float32: how many columns and rows each pixel of `start` moves."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow.setFinestScale(1)  # the preset's 2 is meant for larger images
    return cast(_Floats, flow.calc(start, end, None))  # type: ignore[call-overload]
