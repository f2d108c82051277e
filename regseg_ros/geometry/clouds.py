"""Points <-> PointCloud2, and depth images -> arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from regseg_core.errors import FrameError
from regseg_core.geometry.camera_model import Floats
from regseg_core.geometry.points import Points
from regseg_ros.messages import message_bytes

_FIELDS = {
    np.dtype("f4"): PointField.FLOAT32,
    np.dtype("u4"): PointField.UINT32,
    np.dtype("u1"): PointField.UINT8,
}
_DEPTHS = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}


def cloud_message(points: Points, header: Header) -> PointCloud2:
    """N, or H x W (organised), points of a structured dtype -> a message without padding."""
    height, width = points.shape if points.ndim == 2 else (1, len(points))
    fields = []
    for name in points.dtype.names or ():
        kind, offset = points.dtype.fields[name][:2]  # type: ignore[index]
        # PCL looks for colours in a float.
        known = PointField.FLOAT32 if name == "rgb" else _FIELDS[kind]
        fields.append(PointField(name=name, offset=offset, datatype=known, count=1))
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=fields,
        is_bigendian=False,
        point_step=points.dtype.itemsize,
        row_step=points.dtype.itemsize * width,
        data=message_bytes(np.ascontiguousarray(points).reshape(-1).view(np.uint8).data),
        is_dense=bool(np.isfinite(points["z"]).all()),
    )


def coordinates(message: PointCloud2) -> Floats:
    """x, y and z of all points, N x 3 float32. Raises FrameError for a cloud that has them not."""
    offsets = {f.name: f.offset for f in message.fields if f.datatype == PointField.FLOAT32}
    if missing := [axis for axis in "xyz" if axis not in offsets]:
        raise FrameError(f"the cloud has no float32 {', '.join(missing)}")
    step, row, count = message.point_step, message.row_step, message.height * message.width
    if step < max(offsets[axis] for axis in "xyz") + 4 or row < step * message.width:
        raise FrameError(f"the cloud's point_step {step} and row_step {row} do not fit its fields")
    if len(message.data) < row * message.height:
        raise FrameError(f"the cloud has {len(message.data)} bytes, fewer than its rows need")
    kind = np.dtype(
        {
            "names": ["x", "y", "z"],
            "formats": [">f4" if message.is_bigendian else "<f4"] * 3,
            "offsets": [offsets[axis] for axis in "xyz"],
            "itemsize": step,
        }
    )
    rows: Points = np.ndarray(
        (message.height, message.width), kind, memoryview(message.data), strides=(row, step)
    )
    found = np.empty((count, 3), np.float32)
    for number, axis in enumerate("xyz"):
        found[:, number] = rows[axis].reshape(-1)
    return found


def depths(message: Image) -> npt.NDArray[Any]:
    """H x W of a depth image: uint16 in mm or float32 in m. Raises FrameError."""
    if message.encoding not in _DEPTHS:
        raise FrameError(
            f"depth comes as {message.encoding[:40]!r}: give 16UC1 (mm) or 32FC1 (m), registered"
            " to the camera"
        )
    kind = np.dtype(_DEPTHS[message.encoding]).newbyteorder(">" if message.is_bigendian else "<")
    size = message.height, message.width
    if not all(size) or message.step < message.width * kind.itemsize:
        raise FrameError(f"depth of {size[1]} x {size[0]} pixels with a step of {message.step}")
    if len(message.data) < message.step * message.height:
        raise FrameError(f"depth has {len(message.data)} bytes, fewer than its rows need")
    data = memoryview(message.data)
    found: npt.NDArray[Any] = np.ndarray(size, kind, data, strides=(message.step, kind.itemsize))
    return found.astype(kind.newbyteorder("="), copy=False)
