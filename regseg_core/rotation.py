"""How a camera is mounted: the turns that make its image upright."""

from __future__ import annotations

import torch
from torch import Tensor

#: Degrees clockwise.
ROTATIONS = (0, 90, 180, 270)


def turn(planes: Tensor, degrees: int) -> Tensor:
    """N x C x H x W turned clockwise, by a number of `ROTATIONS`; for 90 and 270 C x W x H."""
    if degrees in (90, 180):
        planes = _mirror(planes, 2)
    if degrees in (180, 270):
        planes = _mirror(planes, 3)
    return planes.transpose(2, 3) if degrees in (90, 270) else planes


def _mirror(planes: Tensor, dim: int) -> Tensor:
    # OpenVINO takes ten times as long for `flip`.
    last = planes.shape[dim] - 1
    backwards = torch.arange(last, -1, -1, dtype=torch.int32, device=planes.device)
    return planes.index_select(dim, backwards)
