"""From labels to places: depth, lidars, against geometry that is known."""

from __future__ import annotations

import numpy as np
import pytest

from regseg_core.errors import FrameError
from regseg_core.geometry.camera_model import CalibrationError, CameraModel, Floats
from regseg_core.geometry.lidar import label_points, transform
from regseg_core.geometry.points import (
    AUTOWARE_POINT,
    POINT,
    PointSettings,
    autoware,
    from_cloud,
    from_depth,
    packed_colors,
    places,
    without,
)
from regseg_core.labels import CAMVID

pytestmark = pytest.mark.filterwarnings("error")

CAMERA = CameraModel(64, 48, 50.0, 52.0, 31.5, 23.5)
FISHEYE = CameraModel(64, 48, 30.0, 30.0, 31.5, 23.5, "equidistant", (0.02, -0.01, 0.003, 0.0))
BENT = CameraModel(64, 48, 50.0, 52.0, 31.5, 23.5, "plumb_bob", (-0.2, 0.05, 0.001, -0.001, 0.0))
ALL = PointSettings()
COLORS = packed_colors(CAMVID.palette)


@pytest.mark.parametrize("camera", [CAMERA, BENT, FISHEYE], ids=lambda c: c.model)
def test_what_a_pixel_sees_is_seen_by_that_pixel(camera: CameraModel) -> None:
    rays = camera.rays
    points = np.stack([*rays, np.ones_like(rays[0])], axis=-1).reshape(-1, 3) * 7
    columns, rows = np.meshgrid(np.arange(64), np.arange(48))
    expected = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    known = np.isfinite(points).all(axis=1)
    assert known.mean() > 0.95
    assert np.abs(camera.project(points) - expected)[known].max() < 0.05


@pytest.mark.parametrize("camera", [CAMERA, BENT, FISHEYE], ids=lambda c: c.model)
def test_a_point_is_seen_by_the_nearest_pixel_if_that_is_in_the_image(camera: CameraModel) -> None:
    points = np.random.default_rng(2).uniform((-9, -9, -3), (9, 9, 9), (20000, 3))
    nearest = np.round(camera.project(points))
    inside = np.all((nearest >= 0) & (nearest < (64, 48)), axis=1)
    assert 0.01 < inside.mean() < 0.5
    expected = np.where(inside[:, None], nearest, -1)
    assert np.array_equal(camera.pixels(points), expected)


def test_points_behind_the_camera_are_nowhere() -> None:
    found = CAMERA.project([[0, 0, -1], [0, 0, 0], [np.nan, 0, 1], [0, 0, 2]])
    assert np.isnan(found[:3]).all() and found[3] == pytest.approx([31.5, 23.5])


@pytest.mark.parametrize(
    ("model", "distortion"),
    [
        ("plumb_bob", (-0.2, 0.0, 0.001, -0.001, 0.0)),
        ("plumb_bob", (-0.35, 0.12, 0.0, 0.0, -0.02)),
        ("rational_polynomial", (-0.3, 0.05, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0)),
        ("equidistant", (0.02, -0.3, 0.003, 0.0)),
    ],
)
def test_what_lies_far_beside_is_not_bent_into_the_image(
    model: str, distortion: tuple[float, ...]
) -> None:
    """Beyond some angle a distortion's polynomial turns back, and means nothing."""
    camera = CameraModel(64, 48, 50.0, 52.0, 31.5, 23.5, model, distortion)
    off, around = np.meshgrid(np.linspace(0, 1.57, 200), np.linspace(-3.14, 3.14, 90))
    radius = np.tan(off).ravel()
    points = np.stack([radius * np.cos(around.ravel()), radius * np.sin(around.ravel())], axis=1)
    columns, rows = camera.pixels(np.column_stack([points, np.ones(len(points))])).T
    seen = rows >= 0
    assert seen.any()
    away = camera.rays[:, rows[seen], columns[seen]].T - points[seen]
    # Where it turns, a pixel sees much.
    assert np.nanmax(abs(away)) < 0.5 and np.isfinite(away).mean() > 0.95


def test_a_scaled_camera_sees_the_same_in_the_same_corner() -> None:
    half = CAMERA.scaled(32, 24)
    # Pixel 0 of the small image covers pixels 0 and 1 of the large one.
    middle = CAMERA.rays[:, :2, :2].mean(axis=(1, 2))
    assert half.rays[:, 0, 0] == pytest.approx(middle, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fx": 0.0}, "focal lengths are 0 and 52: the camera is not calibrated"),
        ({"cx": float("nan")}, "holds NaN"),
        ({"width": 0}, "is for 0 x 48 pixels"),
        ({"model": "thin_prism"}, "distortion model 'thin_prism': known are plumb_bob"),
        ({"distortion": (1.0, 2.0)}, "plumb_bob has 2 coefficients"),
    ],
)
def test_a_calibration_that_cannot_be_meant_says_why(
    changes: dict[str, object], reason: str
) -> None:
    given = {"width": 64, "height": 48, "fx": 50.0, "fy": 52.0, "cx": 31.5, "cy": 23.5}
    with pytest.raises(CalibrationError, match=reason):
        CameraModel(**{**given, **changes})  # type: ignore[arg-type]


def slanted() -> Floats:
    """Depth of the plane z = 4 + x."""
    x = CAMERA.rays[0]
    return np.asarray(4 / (1 - x), np.float32)


@pytest.mark.parametrize("in_millimetres", [False, True])
def test_points_lie_on_the_plane_that_depth_shows(in_millimetres: bool) -> None:
    depth = slanted()
    given = np.round(depth * 1000).astype(np.uint16) if in_millimetres else depth
    labels = np.arange(64 * 48, dtype=np.uint32).reshape(48, 64).astype(np.uint8)
    points = from_depth(given, CAMERA.rays, labels, 255 - labels, COLORS, ALL)
    assert points.shape == (48, 64) and points.dtype == POINT and POINT.itemsize == 24
    assert np.abs(points["z"] - 4 - points["x"]).max() < 0.003
    assert points["y"] / points["z"] == pytest.approx(CAMERA.rays[1], abs=1e-5)
    assert np.array_equal(points["label"], labels)
    assert points["confidence"] == pytest.approx((255 - labels) / 255)
    red, green, blue = CAMVID.palette[3].tolist()
    assert points["rgb"][0, 3] == red << 16 | green << 8 | blue


def test_what_is_not_measured_or_out_of_range_is_nan_and_every_nth_is_taken() -> None:
    depth = np.full((48, 64), 5.0, np.float32)
    depth[2, 2], depth[2, 6], depth[2, 10], depth[2, 14] = 0, np.nan, 0.1, 90
    labels = np.zeros((48, 64), np.uint8)
    settings = PointSettings(size=(16, 12), min_range=0.3, max_range=20)
    points = from_depth(depth, CAMERA.rays, labels, None, COLORS, settings)
    assert points.shape == (12, 16)
    for axis in "xyz":
        assert np.isnan(points[axis][0, :4]).all() and np.isfinite(points[axis][1:]).all()
    assert (points["confidence"] == 1).all()
    millimetres = np.zeros((48, 64), np.uint16)
    assert np.isnan(from_depth(millimetres, CAMERA.rays, labels, None, COLORS, ALL)["z"]).all()


def test_what_is_infinitely_far_or_seen_by_no_ray_is_nan() -> None:
    camera = CameraModel(64, 48, 50.0, 52.0, 31.0, 23.0)
    depth = np.full((48, 64), 5.0, np.float32)
    depth[23, 31] = depth[3, 3] = np.inf
    rays = camera.rays.copy()
    rays[:, 40, 50] = np.nan
    points = from_depth(depth, rays, np.zeros((48, 64), np.uint8), None, COLORS, ALL)
    for axis in "xyz":
        unknown = np.argwhere(~np.isfinite(points[axis])).tolist()
        assert unknown == [[3, 3], [23, 31], [40, 50]] and not np.isinf(points[axis]).any()


def test_places_are_those_of_the_chosen_classes_that_are_known() -> None:
    depth = np.full((48, 64), 5.0, np.float32)
    labels = np.full((48, 64), 255, np.uint8)
    labels[10, :4], labels[20, 30] = (1, 2, 3, 3), 4
    depth[10, 3] = np.nan
    points = from_depth(depth, CAMERA.rays, labels, None, COLORS, ALL)
    found = places(points, {1, 3, 4})
    expected = [points[at].tolist()[:3] for at in ((10, 0), (10, 2), (20, 30))]
    assert found.tolist() == expected and found.dtype.itemsize == 12
    assert len(places(points, {9})) == len(places(points, set())) == 0


def test_depth_of_another_size_or_kind_is_refused() -> None:
    labels = np.zeros((48, 64), np.uint8)
    with pytest.raises(FrameError, match="depth is 32 x 24, labels are 64 x 48, the calibration"):
        from_depth(np.ones((24, 32), np.uint16), CAMERA.rays, labels, None, COLORS, ALL)
    with pytest.raises(FrameError, match="depth of float64: give uint16 in mm or float32 in m"):
        from_depth(np.ones((48, 64)), CAMERA.rays, labels, None, COLORS, ALL)


def test_autowares_points_have_its_layout() -> None:
    labels = np.full((48, 64), 7, np.uint8)
    confidence = np.full((48, 64), 255, np.uint8)
    confidence[0, 0] = 128
    found = autoware(from_depth(slanted(), CAMERA.rays, labels, confidence, COLORS, ALL))
    assert found.dtype == AUTOWARE_POINT and found.dtype.itemsize == 24
    raw = found[1, 1:2].tobytes()
    assert np.frombuffer(raw, "<f4", 3)[2] == pytest.approx(slanted()[1, 1])
    assert raw[12] == 7 and np.frombuffer(raw, "<f4", 1, offset=16)[0] == 1.0
    assert found["entropy"][0, 0] == pytest.approx(1.0, abs=1e-3)
    assert found["entropy"][1, 1] == pytest.approx(0.0, abs=1e-3)


def test_what_moves_is_taken_out_of_depth_with_a_rim() -> None:
    labels = np.zeros((48, 64), np.uint8)
    labels[20:22, 30:33] = 9
    depth = np.full((48, 64), 1234, np.uint16)
    kept = without(depth, labels, {9}, grow=2)
    assert (kept[18:24, 28:35] == 0).all() and (kept == 0).sum() == 6 * 7
    assert (depth == 1234).all(), "the camera's own stays"
    assert np.array_equal(without(depth, labels, set()), depth)


#: A lidar half a metre above the camera, x ahead, y left, z up.
TO_CAMERA = transform((0.5, -0.5, 0.5, 0.5), np.array([0.0, -0.5, 0.0]))


def test_lidar_points_take_the_label_of_the_pixel_that_sees_them() -> None:
    labels = np.zeros((48, 64), np.uint8)
    labels[:, 32:] = 5
    points = np.array(
        [[10, 1, -0.5], [10, -1, -0.5], [-10, 0, 0], [10, 40, 0], [np.nan, 0, 0]], np.float32
    )
    ids, sure = label_points(points, TO_CAMERA, CAMERA, labels, np.full((48, 64), 51, np.uint8))
    assert list(ids) == [0, 5, 255, 255, 255]
    assert list(sure) == [51, 51, 0, 0, 0]


def test_a_lidars_points_keep_their_order_and_those_out_of_range_are_nan() -> None:
    cloud = np.array(
        [[3, 0, 4], [0.1, 0, 0], [0, 30, 0], [np.nan, 1, 1], [np.inf, 0, 0], [3e38, 3e38, 0]],
        np.float32,
    )
    ids = np.array([8, 8, 3, 3, 255, 255], np.uint8)
    sure = np.array([255, 51, 0, 0, 0, 0], np.uint8)
    settings = PointSettings(min_range=0.2, max_range=20)
    points = from_cloud(cloud, (ids, sure), COLORS, settings)
    assert points.dtype == POINT and points[0].tolist()[:3] == (3, 0, 4)
    assert points["label"].tolist() == ids.tolist()
    assert points["rgb"].tolist() == COLORS[ids].tolist()
    assert points["confidence"].tolist() == pytest.approx([1, 0.2, 0, 0, 0, 0])
    for axis in "xyz":
        assert np.isnan(points[axis][1:]).all()
    assert places(points, {8, 3}).tolist() == [(3, 0, 4)]
    nothing = from_cloud(0 * cloud[:3], (ids[:3], sure[:3]), COLORS, ALL)
    assert np.isnan(nothing["x"]).all(), "what some drivers send for no echo"
    known = from_cloud(cloud, (ids, sure), COLORS, ALL)
    assert np.isfinite(known["z"]).tolist() == [True, True, True, False, False, False]
    assert len(from_cloud(cloud[:0], (ids[:0], sure[:0]), COLORS, ALL)) == 0


def test_no_label_for_points_that_are_infinitely_far() -> None:
    points = np.array([[np.inf, 0, 0], [3e38, 3e38, 3e38], [10, np.nan, 0]], np.float32)
    labels = np.zeros((48, 64), np.uint8)
    for camera in (CAMERA, BENT):
        ids, _ = label_points(points, TO_CAMERA, camera, labels)
        assert ids.tolist() == [255, 255, 255]
        assert len(label_points(points[:0], TO_CAMERA, camera, labels)[0]) == 0


def test_ground_far_ahead_is_not_hidden_by_the_ground_before_it() -> None:
    """Rings of a dense lidar lie a pixel or two apart, and metres."""
    camera = CameraModel(640, 480, 500.0, 500.0, 319.5, 239.5)
    down, aside = np.meshgrid(
        np.deg2rad(np.arange(1, 20, 0.2)), np.deg2rad(np.arange(-25, 25, 0.2))
    )
    away = 1.7 / np.tan(down.ravel())
    sides = away * np.cos(aside.ravel()), away * np.sin(aside.ravel())
    points = np.column_stack([*sides, np.full(away.size, -1.7)]).astype(np.float32)
    ids, _ = label_points(points, TO_CAMERA, camera, np.full((480, 640), 3, np.uint8))
    assert away.max() > 90 and (ids == 3).mean() > 0.99


def test_a_point_behind_another_one_does_not_take_its_label() -> None:
    labels = np.full((48, 64), 3, np.uint8)
    wall = np.array([[5, y, z] for y in np.linspace(-1, 1, 40) for z in np.linspace(-1, 0, 20)])
    behind = np.array([[12.0, 0.1, -0.4]])
    points = np.concatenate([wall, behind]).astype(np.float32)
    ids, _ = label_points(points, TO_CAMERA, CAMERA, labels)
    assert (ids[:-1] == 3).mean() > 0.99 and ids[-1] == 255
    (alone,), _ = label_points(behind.astype(np.float32), TO_CAMERA, CAMERA, labels)
    assert alone == 3


def test_transforms_and_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(CalibrationError, match="NaN, or a rotation of length 0"):
        transform((0, 0, 0, 0), np.zeros(3))
    with pytest.raises(CalibrationError, match="NaN"):
        transform((0, 0, 0, 1), np.array([np.nan, 0, 0]))
    with pytest.raises(CalibrationError, match="for 64 x 48 pixels, the image has 32 x 24"):
        label_points(np.zeros((1, 3), np.float32), np.eye(4), CAMERA, np.zeros((24, 32), np.uint8))
