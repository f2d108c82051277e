"""Where a camera is on a robot, and what a laser at the robot's origin would measure."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest

from regseg_core.geometry.ground import FreeSpace, Pose

pytestmark = pytest.mark.filterwarnings("error")


def test_a_pose_is_read_from_a_transform() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        height, ahead, left = rng.uniform(0.1, 3), *rng.uniform(-2, 2, 2)
        pitch, roll, yaw = rng.uniform(-1.5, 1.5), *rng.uniform(-3.1, 3.1, 2)
        pose = Pose(height, pitch, roll, ahead, left, yaw)
        turn = [[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]]
        to_ground = np.eye(4)
        to_ground[:3, :3] = np.array(turn) @ pose.rotation
        to_ground[:3, 3] = ahead, left, height
        assert astuple(Pose.of(to_ground)) == pytest.approx(astuple(pose), abs=1e-9)


def test_angles_have_the_signs_that_are_promised() -> None:
    """Of what the camera looks along, and of what lies at its right."""
    along, right = np.array([0.0, 0, 1]), np.array([1.0, 0, 0])
    assert Pose(1.0).rotation @ along == pytest.approx([1, 0, 0])
    assert Pose(1.0).rotation @ right == pytest.approx([0, -1, 0])
    assert (Pose(1.0, pitch=0.3).rotation @ along)[2] == pytest.approx(-math.sin(0.3))
    assert (Pose(1.0, roll=0.3).rotation @ right)[2] == pytest.approx(-math.sin(0.3))


def wall(pose: Pose, ahead: float) -> FreeSpace:
    """What a camera there sees of a wall across, so far ahead of it."""
    bearings = np.linspace(-0.6, 0.6, 241).astype(np.float64)
    distances = ahead / np.cos(bearings)
    nowhere = np.full(len(bearings), -1, np.int32)
    return FreeSpace(bearings, distances, np.isfinite(distances), nowhere, nowhere)


def test_a_scan_from_the_robots_origin_is_what_the_camera_sees() -> None:
    free = wall(Pose(1.0), 4.0)
    free.distances[:3], free.distances[-3:] = np.nan, np.inf
    first, step, ranges = free.scan(Pose(1.0))
    assert first == pytest.approx(-0.6) and step == pytest.approx(0.005)
    assert ranges.dtype == np.float32
    np.testing.assert_allclose(ranges, free.distances, rtol=1e-6)


@pytest.mark.parametrize(
    "pose",
    [
        Pose(1.0, yaw=math.pi),
        Pose(1.0, ahead=0.5),
        Pose(1.0, ahead=0.5, left=0.3),
        Pose(1.0, ahead=-0.5, left=-0.4, yaw=math.pi),
        Pose(1.0, ahead=0.2, left=0.3, yaw=math.pi / 2),
        Pose(1.0, ahead=-1.0),
    ],
    ids=str,
)
def test_a_scan_meets_the_wall_where_it_stands(pose: Pose) -> None:
    first, step, ranges = wall(pose, 3.0).scan(pose)
    angles = first + step * np.arange(len(ranges))
    x, y = ranges * np.cos(angles), ranges * np.sin(angles)
    # How far beyond the camera, the way it looks.
    beyond = (x - pose.ahead) * math.cos(pose.yaw) + (y - pose.left) * math.sin(pose.yaw)
    assert len(ranges) > 150 and beyond == pytest.approx(3.0, rel=0.02)
    across = (y - pose.left) * math.cos(pose.yaw) - (x - pose.ahead) * math.sin(pose.yaw)
    assert [across.min(), across.max()] == pytest.approx([-2.05, 2.05], abs=0.1)


@pytest.mark.parametrize("side", [-0.5, 0.5])
def test_a_scan_from_beside_meets_what_is_nearest(side: float) -> None:
    """The camera sees the wall past a pole that stands before the robot's origin."""
    pose = Pose(1.0, left=side)
    free = wall(pose, 6.0)
    pole = abs(free.bearings - math.atan2(-side, 2.0)) < 0.02
    free.distances[pole] = math.hypot(2.0, 0.5)
    free.distances[free.bearings > 0.5] = np.inf
    first, step, ranges = free.scan(pose)
    angles = first + step * np.arange(len(ranges))
    assert ranges[abs(angles) < 0.015] == pytest.approx(2.0, rel=0.05)
    behind = (abs(angles) > 0.04) & (abs(angles) < 0.4)
    assert (ranges * np.cos(angles))[behind] == pytest.approx(6.0, rel=0.02)
    assert np.isinf(ranges[angles > 0.59]).any()


def test_a_scan_says_nothing_where_the_camera_does_not_look() -> None:
    """It is mounted behind the origin, and something stands between the two."""
    pose = Pose(1.0, ahead=-1.5)
    free = wall(pose, 5.0)
    free.distances[100:140] = 0.5
    first, step, ranges = free.scan(pose)
    angles = first + step * np.arange(len(ranges))
    x = ranges * np.cos(angles)
    assert (abs(x - 3.5) < 0.1).sum() > 150 and (abs(x + 1.0) < 0.1).sum() > 20
    beside = abs(np.remainder(angles, 2 * math.pi) - math.pi / 2) < 0.5
    assert beside.any() and np.isnan(ranges[beside]).all()
