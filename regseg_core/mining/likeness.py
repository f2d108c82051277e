"""How alike two frames are, told from a few hundred numbers of each."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from torch.nn import functional as F

from regseg_core.mining.seen import Seen

#: D float16: what is kept of a frame.
Descriptor = npt.NDArray[np.float16]

#: Cells along each side: of the grid of class probabilities, and of the gray thumbnail.
CELLS, THUMBNAIL = 4, 16

#: What counts as another frame, unless told otherwise. So far apart are CamVid's frames to the
#: shipped weights (5th, 50th and 95th percentile): 1/15 s later 0.02, 0.04, 0.06; 1/3 s later 0.06,
#: 0.12, 0.17; 1 s 0.08, 0.19, 0.36; 5 s 0.17, 0.31, 0.49; at least 20 s, or of another drive, 0.34,
#: 0.45, 0.58. The same frame brighter or darker by 40 %, or with noise of 10 levels: 0.02 to 0.06
#: in the median. So 0.2 drops nearly all neighbours within 1/3 s, half of those within 1 s, and 2
#: in 10,000 pairs of other places.
MIN_DISTANCE = 0.2


def describe(seen: Seen) -> Descriptor:
    """What a frame shows where, and how it looks: 16 C + 256 numbers.

    The distance of two frames, 0 to 1, is the Euclidean one of their descriptors. Its square is the
    mean of two squares, also 0 to 1. One is the Hellinger distance of the class probabilities, over
    the cells of a grid. The other is that of the gray thumbnails at mean 0 and length 1, which
    neither exposure nor contrast changes: half of 1 - their correlation.
    """
    grid = F.adaptive_avg_pool2d(seen.probabilities, CELLS).sqrt() / CELLS
    small = cv2.resize(seen.gray, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    parts = (grid.flatten().cpu().numpy() / 2, _normalised(small.astype(np.float32)) / np.sqrt(8))
    descriptor: Descriptor = np.concatenate(parts).astype(np.float16)
    return descriptor


def _normalised(gray: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    level: npt.NDArray[np.float32] = gray.ravel() - gray.mean()
    length = float(np.linalg.norm(level))
    return level / np.float32(length or 1)


def distances(
    some: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Of descriptors, N x D and M x D float32: N x M float32, 0 for the same up to 0.001."""
    squares = np.square(some).sum(1)[:, None] + np.square(others).sum(1)
    found: npt.NDArray[np.float32] = np.sqrt(np.maximum(squares - 2 * some @ others.T, 0))
    return found
