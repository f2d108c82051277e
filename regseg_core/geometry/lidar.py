"""Labels for a lidar's points, by the image that sees them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from regseg_core.arrays import Doubles, Image
from regseg_core.geometry.camera_model import CalibrationError, CameraModel, Floats, Indices
from regseg_core.labels import IGNORE_INDEX

#: Pixels from a point that it hides, at the image's own size: lidars are sparser than images.
_SPLAT = 2
#: How much farther than the nearest point there, as a share, a point may lie and still be seen.
_SLACK = 0.05


def transform(rotation: Sequence[float], translation: Sequence[float] | Doubles) -> Doubles:
    """4 x 4 from a quaternion x, y, z, w and metres. Raises CalibrationError for NaN or a zero."""
    x, y, z, w = rotation
    length = np.sqrt(x * x + y * y + z * z + w * w)
    if not (np.isfinite(length) and np.isfinite(translation).all() and length > 1e-6):
        raise CalibrationError("the transform to the camera holds NaN, or a rotation of length 0")
    x, y, z, w = np.array((x, y, z, w)) / length
    made = np.eye(4)
    made[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    made[:3, 3] = translation
    return made


def label_points(
    points: Floats,
    to_camera: Doubles,
    camera: CameraModel,
    labels: Image,
    confidence: Image | None = None,
) -> tuple[Image, Image]:
    """Id and confidence (uint8) of each of N x 3 points: 255 and 0 where the image has it not.

    `to_camera`: 4 x 4, from the points' frame to the optical frame. A point that lies behind
    nearer ones is not seen: it would take the label of what hides it. Raises CalibrationError
    where the calibration is for another size of image.
    """
    if labels.shape != (camera.height, camera.width):
        raise CalibrationError(
            f"the calibration is for {camera.width} x {camera.height} pixels, the image has"
            f" {labels.shape[1]} x {labels.shape[0]}"
        )
    ids = np.full(len(points), IGNORE_INDEX, np.uint8)
    sure = np.zeros(len(points), np.uint8)
    with np.errstate(invalid="ignore"):  # some drivers send infinity for no echo
        there = points @ to_camera[:3, :3].T + to_camera[:3, 3]
    columns, rows = camera.pixels(there).T
    seen = np.flatnonzero(rows >= 0)
    at = rows[seen], columns[seen]
    seen, at = _not_hidden(seen, at, there[seen, 2], labels.shape)
    ids[seen] = labels[at]
    sure[seen] = 255 if confidence is None else confidence[at]
    return ids, sure


def _not_hidden(
    seen: npt.NDArray[np.intp],
    at: tuple[Indices, Indices],
    depth: Doubles,
    shape: tuple[int, ...],
) -> tuple[npt.NDArray[np.intp], tuple[Indices, Indices]]:
    nearest = np.full(shape, np.inf, np.float32)
    np.minimum.at(nearest, at, depth.astype(np.float32))
    # Ground is seen past the nearer ground below it, a ceiling past the one above: what hides is
    # nearer on both sides.
    kernel = np.ones((_SPLAT + 1, 2 * _SPLAT + 1), np.uint8)
    above = cv2.erode(nearest, kernel, anchor=(_SPLAT, _SPLAT))
    below = cv2.erode(nearest, kernel, anchor=(_SPLAT, 0))
    visible = depth <= np.maximum(above, below)[at] * (1 + _SLACK)
    return seen[visible], (at[0][visible], at[1][visible])
