"""What one camera knows of the ground before it, against a street whose measures are known."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from regseg_core.arrays import Image, sampled
from regseg_core.data.synthetic.painter import CAMERA_HEIGHT, Painter
from regseg_core.data.synthetic.plan import ROAD_EDGE, StreetPlan
from regseg_core.data.synthetic.street import SyntheticStreet
from regseg_core.errors import ArgumentError
from regseg_core.geometry.camera_model import CalibrationError, CameraModel
from regseg_core.geometry.grid import LETHAL, UNKNOWN, GroundGrid
from regseg_core.geometry.ground import GroundView, Pose, free_space, ground_depth
from regseg_core.labels import CAMVID

pytestmark = pytest.mark.filterwarnings("error")

ROAD, PAVEMENT, CAR = (CAMVID.names.index(name) for name in ("road", "pavement", "car"))
LEVEL = CameraModel(480, 360, 384.0, 384.0, 239.5, 160.0)
BENT = replace(LEVEL, distortion=(-0.15, 0.02, 0.0, 0.0, 0.0))
#: Its image is a circle that its border does not touch: a field of view of 180 degrees and more.
FISHEYE = CameraModel(960, 720, 220.0, 220.0, 479.5, 359.5, "equidistant")


def street_camera(painter: Painter) -> CameraModel:
    """The street's camera, whose pixel columns begin at their left edge."""
    return CameraModel(
        painter.width,
        painter.height,
        painter.focal,
        painter.focal,
        painter.width / 2,
        painter.horizon,
    )


@pytest.fixture(scope="module")
def empty_street() -> tuple[Painter, GroundView]:
    """A street without traffic, and the camera in it."""
    plan = StreetPlan.sample(3)
    painter = Painter(plan, 480, 360)
    painter.ground(travelled=0.0)
    return painter, GroundView(street_camera(painter), Pose(CAMERA_HEIGHT), cell=0.5)


def test_the_kerb_is_where_it_is_up_to_15_metres(empty_street: tuple[Painter, GroundView]) -> None:
    painter, view = empty_street
    free = free_space(view, painter.label, {ROAD}, unknown=255)
    # Along a bearing the kerb lies where y is the road's edge.
    for bearing, distance in zip(free.bearings, free.distances, strict=True):
        true = ROAD_EDGE / abs(math.sin(bearing))
        if view.min_range * 1.1 < true < 15:
            assert distance == pytest.approx(true, rel=0.05)
    assert np.isinf(free.distances[abs(free.bearings) < 0.1]).all(), "the road goes on"


def test_pixels_meet_the_ground_where_the_street_was_painted(
    empty_street: tuple[Painter, GroundView],
) -> None:
    painter, view = empty_street
    column, row = painter.project(2.0, 0.0, 8.0)  # right, up, ahead
    at = round(row), round(column)
    right, down = view.camera.rays[(slice(None), *at)] * view.depths[at]
    assert view.depths[at] == pytest.approx(8, rel=0.03)
    assert (right, down) == (pytest.approx(2, rel=0.03), pytest.approx(CAMERA_HEIGHT, rel=1e-4))
    assert np.isnan(view.depths[: int(painter.horizon)]).all()


def plane(camera: CameraModel, pose: Pose, near: float, far: float) -> Image:
    """Labels of flat ground: a band across, from `near` to `far` metres ahead, is a car."""
    rays = np.stack([*camera.rays, np.ones((camera.height, camera.width))])
    there = np.tensordot(pose.rotation, rays, axes=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead = -there[0] * pose.height / there[2]
    labels = np.full(ahead.shape, ROAD, np.uint8)
    labels[there[2] >= 0] = 0  # sky
    labels[(there[2] < 0) & (ahead >= near) & (ahead <= far)] = CAR
    return labels


@pytest.mark.parametrize(
    ("pose", "camera"),
    [
        (Pose(1.2), LEVEL),
        (Pose(1.2, pitch=0.3), LEVEL),
        (Pose(0.4, pitch=0.1), LEVEL),
        (Pose(1.2, pitch=0.2, roll=math.radians(20)), LEVEL),
        (Pose(1.2, pitch=0.2, roll=math.radians(-20)), BENT),
        (Pose(1.5, pitch=-0.1), LEVEL),
        (Pose(1.2), FISHEYE),
        (Pose(1.2, pitch=0.3, roll=math.radians(20)), FISHEYE),
        (Pose(1.2, pitch=0.8), FISHEYE),
    ],
    ids=str,
)
def test_an_obstacle_across_is_as_far_as_it_is(pose: Pose, camera: CameraModel) -> None:
    view = GroundView(camera, pose, cell=0.25, max_range=12)
    at = 4.0
    free = free_space(view, plane(camera, pose, at, 5.0), {ROAD}, unknown=255)
    ahead = free.distances * np.cos(free.bearings)
    # Where the image shows the place at all: it may begin behind it.
    row = abs(view.sweep.distances[:, None] * np.cos(free.bearings) - at).argmin(axis=0)
    met = view.sweep.rows[row, np.arange(len(row))] >= 0
    met &= at / np.cos(free.bearings) < 0.9 * view.max_range
    assert met.mean() > 0.5 and free.stopped[met].mean() > 0.99
    met &= free.stopped
    assert ahead[met] == pytest.approx(at, rel=0.05)


def test_single_pixels_and_unknown_ones_are_no_obstacles() -> None:
    view = GroundView(LEVEL, Pose(1.0), cell=0.1, max_range=10)
    labels = plane(LEVEL, Pose(1.0), 90, 99)
    noise = np.random.default_rng(1).random(labels.shape) < 0.02
    labels[noise] = CAR
    free = free_space(view, labels, {ROAD}, unknown=255)
    assert np.isinf(free.distances).mean() > 0.97
    labels = plane(LEVEL, Pose(1.0), 4, 6)
    labels[labels == CAR] = 255
    free = free_space(view, labels, {ROAD}, unknown=255)
    assert np.isfinite(free.distances).all() and not free.stopped.any()


def test_the_grid_knows_the_ground_and_the_foot_of_what_stands_on_it() -> None:
    pose = Pose(1.0, pitch=0.1)
    view = GroundView(LEVEL, pose, cell=0.1, max_range=8)
    labels = plane(LEVEL, pose, 3.0, 8.0)  # a car stands up: nothing is known behind its foot
    grid = GroundGrid(view, {ROAD: 0, PAVEMENT: 30})
    found = grid.add(labels, free_space(view, labels, {ROAD, PAVEMENT}, unknown=255))
    middle = np.argmin(abs(grid.left))
    line = found[middle]
    foot = np.argmin(abs(grid.ahead - 3.0))
    first = np.argmax(line != UNKNOWN)
    assert grid.ahead[first] == pytest.approx(view.min_range, abs=0.3)
    assert (line[first : foot - 1] == 0).all()
    assert LETHAL in line[foot - 1 : foot + 2]
    assert (line[foot + 2 :] == UNKNOWN).all()
    assert found.dtype == np.int8 and found.shape == (len(grid.left), len(grid.ahead))
    assert (found[0] == UNKNOWN).all(), "beside the image"


def test_left_is_left() -> None:
    pose = Pose(1.0, pitch=0.1)
    view = GroundView(LEVEL, pose, cell=0.1, max_range=8)
    labels = plane(LEVEL, pose, 90, 99)
    labels[:, :240][labels[:, :240] == ROAD] = PAVEMENT
    grid = GroundGrid(view, {ROAD: 0, PAVEMENT: 30})
    found = grid.add(labels, free_space(view, labels, {ROAD, PAVEMENT}, unknown=255))
    assert set(np.unique(found[grid.left > 0.1])) == {UNKNOWN, 30}
    assert set(np.unique(found[grid.left < -0.1])) == {UNKNOWN, 0}
    kerb = free_space(view, labels, {ROAD}, unknown=255)
    assert kerb.stopped[kerb.bearings > 0.01].all()
    assert not kerb.stopped[kerb.bearings < -0.01].any()


def test_the_foot_of_a_pole_that_is_thinner_than_a_cell_is_in_the_grid() -> None:
    pose = Pose(1.0)
    view = GroundView(LEVEL, pose, cell=0.2, max_range=8)
    grid = GroundGrid(view, {ROAD: 0})
    road = plane(LEVEL, pose, 90, 99)
    for left in np.arange(-0.8, 0.8, 0.05):
        labels = road.copy()
        places = np.array([[3.0, left - 0.03, -1.0], [3.0, left + 0.03, -1.0]])
        (end, foot), (start, _) = LEVEL.pixels(places @ pose.rotation)
        labels[foot - 200 : foot + 1, start : end + 1] = CAR
        found = grid.add(labels, free_space(view, labels, {ROAD}, unknown=255))
        sides, ends = np.nonzero(found == LETHAL)
        assert len(sides) and abs(grid.left[sides] - left).max() <= 0.2
        assert abs(grid.ahead[ends] - 3.0).max() <= 0.2
        grid.forget()


def test_most_frames_decide_what_a_cell_is() -> None:
    pose = Pose(1.0)
    view = GroundView(LEVEL, pose, cell=0.1, max_range=6)
    road = np.full((360, 480), ROAD, np.uint8)
    kerb = np.full((360, 480), PAVEMENT, np.uint8)
    ground = {ROAD, PAVEMENT}
    grid = GroundGrid(view, {ROAD: 0, PAVEMENT: 30}, votes=3)
    for labels in (road, kerb, road):
        found = grid.add(labels, free_space(view, labels, ground, unknown=255))
    assert set(np.unique(found)) == {UNKNOWN, 0}
    for _ in range(2):
        found = grid.add(kerb, free_space(view, kerb, ground, unknown=255))
    assert set(np.unique(found)) == {UNKNOWN, 30}
    grid.forget()
    found = grid.add(road, free_space(view, road, ground, unknown=255))
    assert set(np.unique(found)) == {UNKNOWN, 0}
    with pytest.raises(ArgumentError, match="costs must be 0 to 100, not 3: 254"):
        GroundGrid(view, {ROAD: 254})


@pytest.mark.parametrize("gap", [5.0, -5.0])
def test_frames_from_before_a_gap_have_no_vote(gap: float) -> None:
    """A map that nobody has asked for, or of a bag that begins anew."""
    view = GroundView(LEVEL, Pose(1.0), cell=0.1, max_range=6)
    grid = GroundGrid(view, {ROAD: 0, PAVEMENT: 30}, votes=3)
    found = []
    for label, taken in ((ROAD, 10.0), (ROAD, 10.1), (PAVEMENT, 10.2), (PAVEMENT, 10.2 + gap)):
        labels = np.full((360, 480), label, np.uint8)
        free = free_space(view, labels, {ROAD, PAVEMENT}, unknown=255)
        found.append(set(np.unique(grid.add(labels, free, taken))))
    assert found[2:] == [{UNKNOWN, 0}, {UNKNOWN, 30}]


def test_what_stands_costs_what_its_group_does() -> None:
    pose = Pose(1.0, pitch=0.1)
    view = GroundView(LEVEL, pose, cell=0.1, max_range=8)
    labels = plane(LEVEL, pose, 3.0, 8.0)
    free = free_space(view, labels, {ROAD}, unknown=255)
    lethal = GroundGrid(view, {ROAD: 0}).add(labels, free)
    grass = GroundGrid(view, {ROAD: 0}, feet={CAR: 40}).add(labels, free)
    assert set(np.unique(lethal)) == {UNKNOWN, 0, LETHAL}
    assert set(np.unique(grass)) == {UNKNOWN, 0, 40}
    assert np.array_equal(grass == 40, lethal == LETHAL)
    with pytest.raises(ArgumentError, match="costs must be 0 to 100, not 8: 101"):
        GroundGrid(view, {ROAD: 0}, feet={CAR: 101})


def test_where_a_pixel_covers_more_than_a_cell_nothing_is_known() -> None:
    fine = GroundView(LEVEL, Pose(0.5), cell=0.02, max_range=50)
    coarse = GroundView(LEVEL, Pose(0.5), cell=0.2, max_range=50)
    assert fine.max_range < 2.1 < 6.0 < coarse.max_range < 6.3
    assert 0.95 * coarse.max_range < np.nanmax(coarse.depths) <= coarse.max_range


@pytest.mark.parametrize(
    ("pose", "reason"),
    [
        ((1.0, -1.0, 0.0), "sees no ground"),
        ((1.0, 2.5, 0.0), "sees no ground ahead"),
        ((0.0, 0.0, 0.0), "camera is 0 m above the ground"),
        ((1.0, float("nan"), 0.0), "pitch nan"),
    ],
)
def test_a_camera_that_sees_no_ground_says_so(
    pose: tuple[float, float, float], reason: str
) -> None:
    with pytest.raises(CalibrationError, match=reason):
        GroundView(LEVEL, Pose(*pose))


def test_a_camera_that_looks_straight_down_sees_what_is_before_it() -> None:
    pose = Pose(1.0, pitch=math.pi / 2)
    view = GroundView(LEVEL, pose, cell=0.05)
    assert view.min_range == 0.05 and view.sweep.rows.size < 2 * 360 * 480
    free = free_space(view, plane(LEVEL, pose, 0.2, 0.5), {ROAD}, unknown=255)
    middle = abs(free.bearings) < 0.5
    assert (free.distances * np.cos(free.bearings))[middle] == pytest.approx(0.2, rel=0.05)


def test_a_street_with_traffic_stops_before_the_cars() -> None:
    street = SyntheticStreet(480, 360, seed=5)
    _, labels = street.frame(2.0)
    painter = Painter(street.plan, 480, 360)
    view = GroundView(street_camera(painter), Pose(CAMERA_HEIGHT), cell=0.2)
    labels = cv2.medianBlur(labels, 3).astype(np.uint8)
    free = free_space(view, labels, {ROAD}, unknown=255)
    assert free.stopped.any() and np.nanmin(free.distances) >= view.min_range


def test_depth_is_of_the_ground_and_the_foot_of_what_stands_on_it() -> None:
    pose = Pose(1.0, pitch=0.1)
    view = GroundView(LEVEL, pose, cell=0.2, max_range=12)
    labels = plane(LEVEL, pose, 90, 99)
    # A box, 1 m wide and high, whose foot is 4 m ahead.
    corners = np.array([[4.0, 0.5, 0.0], [4.0, -0.5, -1.0]]) @ pose.rotation
    (left, top), (right, foot) = LEVEL.pixels(corners)
    labels[top : foot + 1, left : right + 1] = CAR
    free = free_space(view, labels, {ROAD}, unknown=255)
    depth = ground_depth(view, labels, {ROAD}, free)
    assert depth.dtype == np.float32 and depth.shape == labels.shape
    box = depth[top : foot + 1, left + 1 : right]
    known = np.isfinite(box)
    assert not known[:-3].any() and known.any(axis=0).mean() > 0.9
    assert box[known] == pytest.approx(4.0 * math.cos(0.1) + math.sin(0.1), rel=0.03)
    ground = (labels == ROAD) & np.isfinite(view.depths)
    assert np.array_equal(depth[ground], view.depths[ground])
    # As points they lie on the ground.
    rays = np.stack([*LEVEL.rays, np.ones_like(depth)])
    points = np.tensordot(pose.rotation, rays * depth, axes=1)
    assert points[2][np.isfinite(depth)] == pytest.approx(-1.0, abs=1e-3)
    assert np.isnan(depth[labels == 0]).all(), "the sky"
    # Of every fourth row and column the foot is not lost, nor farther away.
    few = sampled(ground_depth(view, labels, {ROAD}, free, thick=4), (120, 90))
    feet = few[top // 4 : foot // 4 + 1, left // 4 + 1 : right // 4]
    assert np.isfinite(feet).any(axis=0).all()
    assert np.nanmax(feet) == pytest.approx(np.nanmax(box), rel=0.01)
