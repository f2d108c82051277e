"""Labelled points from depth that is registered to the labelled image."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Image, among, sampled
from regseg_core.errors import FrameError
from regseg_core.geometry.camera_model import Floats
from regseg_core.labels import IGNORE_INDEX

#: A point as it lies in a PointCloud2: metres, the class's colour as PCL packs it, id, probability.
POINT = np.dtype(
    [("x", "f4"), ("y", "f4"), ("z", "f4"), ("rgb", "u4"), ("label", "u4"), ("confidence", "f4")]
)

#: Autoware's PointXYZCPE: id and probability of the class, and how unsure the network is.
AUTOWARE_POINT = np.dtype(
    {
        "names": ["x", "y", "z", "class_id", "probability", "entropy"],
        "formats": ["f4", "f4", "f4", "u1", "f4", "f4"],
        "offsets": [0, 4, 8, 12, 16, 20],
        "itemsize": 24,
    }
)

Points = npt.NDArray[np.void]


#: A point that is only somewhere.
PLACE = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4")])


@dataclass(frozen=True)
class PointSettings:
    """Which points are made: so many across and down (None: all), between two ranges in metres."""

    size: tuple[int, int] | None = None
    min_range: float = 0.0
    max_range: float = float("inf")


def metres(depth: npt.NDArray[Any]) -> Floats:
    """H x W uint16 in mm (0: unknown) or float32 in m -> H x W float32 in m, NaN where unknown.

    Raises FrameError for another dtype.
    """
    if depth.dtype == np.uint16:
        found = depth * np.float32(0.001)
        found[depth == 0] = np.nan
        return found
    if depth.dtype == np.float32:
        known = (depth > 0) & (depth < np.inf)  # infinity: too far to be measured (REP 118)
        return np.where(known, depth, np.float32(np.nan))
    raise FrameError(f"depth of {depth.dtype}: give uint16 in mm or float32 in m")


def packed_colors(palette: Image) -> npt.NDArray[np.uint32]:
    """256 x 3 uint8 RGB -> 256 colours as PCL packs them."""
    red, green, blue = palette.astype(np.uint32).T
    packed: npt.NDArray[np.uint32] = (red << 16) | (green << 8) | blue
    return packed


def from_depth(
    depth: npt.NDArray[Any],
    rays: Floats,
    labels: Image,
    confidence: Image | None,
    colors: npt.NDArray[np.uint32],
    settings: PointSettings,
) -> Points:
    """Organised points in the camera's optical frame.

    NaN where depth is unknown or out of range, or the pixel's ray is.

    `depth`: H x W, uint16 mm or float32 m, along the optical axis. `rays`: 2 x H x W, of the
    camera. `labels`, `confidence`: H x W uint8; without confidence it is 1. `colors`: 256, packed.
    Raises FrameError where sizes differ.
    """
    if not depth.shape == labels.shape == rays.shape[1:]:
        raise FrameError(
            f"depth is {_size(depth)}, labels are {_size(labels)}, the calibration is for"
            f" {_size(rays[0])}: they must be registered to one image"
        )
    size = settings.size
    z = metres(sampled(depth, size))
    found = np.empty(z.shape, POINT)
    x, y = (sampled(ray, size) for ray in rays)
    near = (z >= settings.min_range) & (z <= settings.max_range) & np.isfinite(x)
    z = np.where(near, z, np.float32(np.nan))
    found["z"] = z
    np.multiply(x, z, out=found["x"])
    np.multiply(y, z, out=found["y"])
    _describe(
        found,
        sampled(labels, size),
        None if confidence is None else sampled(confidence, size),
        colors,
    )
    return found


def from_cloud(
    cloud: Floats,
    seen: tuple[Image, Image],
    colors: npt.NDArray[np.uint32],
    settings: PointSettings,
) -> Points:
    """Points of a lidar: N x 3 metres, N ids and confidences.

    NaN where one is out of range, at the lidar itself, or not finite.
    """
    found = np.empty(len(cloud), POINT)
    with np.errstate(over="ignore"):
        distance = np.linalg.norm(cloud, axis=1)
    near = (distance >= settings.min_range) & (distance <= settings.max_range)
    # Without an echo some drivers send 0, others infinity.
    near &= (distance > 0) & np.isfinite(distance)
    for axis, name in enumerate("xyz"):
        found[name] = np.where(near, cloud[:, axis], np.float32(np.nan))
    _describe(found, *seen, colors)
    return found


def places(points: Points, ids: Collection[int]) -> Points:
    """Where the points are that have one of these ids, those of which it is known; N of them."""
    points = points.ravel()
    chosen = np.flatnonzero(among(points["label"], ids) & np.isfinite(points["z"]))
    found = np.empty(len(chosen), PLACE)
    for name in "xyz":
        found[name] = points[name][chosen]
    return found


def _describe(
    points: Points, ids: Image, confidence: Image | None, colors: npt.NDArray[np.uint32]
) -> None:
    points["label"] = ids
    points["rgb"] = colors[ids]
    if confidence is None:
        points["confidence"] = 1
    else:
        np.multiply(confidence, np.float32(1 / 255), out=points["confidence"])


def autoware(points: Points) -> Points:
    """The same points in Autoware's layout; entropy of a class against all others, in bits."""
    found = np.zeros(points.shape, AUTOWARE_POINT)
    for name in "xyz":
        found[name] = points[name]
    found["class_id"] = np.minimum(points["label"], IGNORE_INDEX)
    p = found["probability"] = points["confidence"]
    q = np.clip(p, 1e-6, 1 - 1e-6)
    found["entropy"] = -(q * np.log2(q) + (1 - q) * np.log2(1 - q))
    return found


def without(depth: npt.NDArray[Any], labels: Image, ids: Collection[int], grow: int = 0) -> Any:
    """Depth with 0, unknown, where `labels` is one of `ids`, and up to `grow` pixels around.

    For maps that must hold what stays. Raises FrameError where sizes differ.
    """
    if depth.shape != labels.shape:
        raise FrameError(f"depth is {_size(depth)}, labels are {_size(labels)}")
    table = np.zeros(256, np.uint8)
    table[list(ids)] = 1
    taken = cv2.LUT(labels, table)
    if grow > 0:
        taken = cv2.dilate(taken, np.ones((2 * grow + 1, 2 * grow + 1), np.uint8))
    kept = depth.copy()
    kept[taken.astype(bool)] = 0
    return kept


def _size(array: npt.NDArray[Any]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
