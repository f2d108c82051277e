"""Run lengths: a mask as the lengths of what is outside and inside, by turns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Image
from regseg_core.labels import IGNORE_INDEX

Mask = npt.NDArray[np.bool_]
Runs = npt.NDArray[np.int64]


def masks(label: Image) -> Iterator[tuple[int, Mask]]:
    """H x W uint8 class indices -> index and H x W mask of each class that is there."""
    present = np.bincount(label.ravel(), minlength=256)[:IGNORE_INDEX] > 0
    for index in np.flatnonzero(present).tolist():
        yield index, label == index


def run_lengths(mask: Mask) -> Runs:
    """A mask, read row by row -> how many pixels are outside, inside, outside and so on.

    The first is 0 where the first pixel is inside; the sum is the mask's size, which is not 0.
    """
    flat = mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate(([0], edges)) if not flat[0] else np.concatenate(([0, 0], edges))
    return np.diff(starts, append=flat.size)


def from_run_lengths(runs: Runs) -> Mask:
    """What `run_lengths` was made of, flat. The runs are not negative."""
    inside = (np.arange(len(runs)) & 1).astype(np.bool_)
    mask: Mask = np.repeat(inside, runs)
    return mask
