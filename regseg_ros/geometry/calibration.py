"""CameraInfo -> camera model and back, and CameraInfo of smaller images."""

from __future__ import annotations

import copy

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from regseg_core.geometry.camera_model import CalibrationError, CameraModel


def camera_model(info: CameraInfo, rectified: bool = False) -> CameraModel:
    """The camera as its images are: after binning and of the region of interest.

    `rectified`: they come without distortion, as P says. Raises CalibrationError.
    """
    matrix, columns = (info.p, 4) if rectified else (info.k, 3)
    across, down = max(info.binning_x, 1), max(info.binning_y, 1)
    region = info.roi
    width, height = region.width or info.width, region.height or info.height
    return CameraModel(
        width=width // across,
        height=height // down,
        fx=matrix[0] / across,
        fy=matrix[columns + 1] / down,
        cx=(matrix[2] - region.x_offset) / across,
        cy=(matrix[columns + 2] - region.y_offset) / down,
        model="" if rectified else info.distortion_model,
        distortion=() if rectified else tuple(info.d),
    )


def camera_model_of(
    info: CameraInfo, labels: tuple[int, ...], rectified: bool = False
) -> CameraModel:
    """The same, of images whose labels are H x W. Raises CalibrationError for another size."""
    model = camera_model(info, rectified)
    if (model.height, model.width) != labels:
        raise CalibrationError(
            f"the calibration is for {model.width} x {model.height} pixels, the images have"
            f" {labels[1]} x {labels[0]}: calibrate the camera at the size that it sends"
        )
    return model


def info_message(camera: CameraModel, header: Header) -> CameraInfo:
    """The calibration of a camera whose images need no rectification beyond K and D."""
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.model or "plumb_bob",
        d=list(camera.distortion) or [0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def scaled_info(info: CameraInfo, width: int, height: int) -> CameraInfo:
    """The calibration of the same images resized to that size. Raises CalibrationError."""
    model = camera_model(info)
    small, found = model.scaled(width, height), copy.copy(info)
    found.width, found.height = width, height
    found.binning_x = found.binning_y = 0
    found.roi = RegionOfInterest(do_rectify=info.roi.do_rectify)
    found.k = [small.fx, 0.0, small.cx, 0.0, small.fy, small.cy, 0.0, 0.0, 1.0]
    # P maps into the full image too; its fourth column holds metres times focal lengths.
    binned = camera_model(info, rectified=True).scaled(width, height) if info.p[0] else small
    across, down = (info.p[3] / info.p[0], info.p[7] / info.p[5]) if info.p[0] else (0.0, 0.0)
    found.p = [
        *(binned.fx, 0.0, binned.cx, across * binned.fx),
        *(0.0, binned.fy, binned.cy, down * binned.fy),
        *(0.0, 0.0, 1.0, 0.0),
    ]
    return found
