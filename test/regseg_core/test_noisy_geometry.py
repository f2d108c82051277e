"""Images and clouds of real size with real noise, of a scene whose measures are known.

A camera 1.2 m above a road; across it, 8 m ahead, a wall 3 m high with sky above.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from regseg_core import Frame, Segmentation
from regseg_core.arrays import Doubles, Image
from regseg_core.geometry.camera_model import CameraModel, Floats
from regseg_core.geometry.grid import LETHAL, UNKNOWN, GroundGrid
from regseg_core.geometry.ground import GroundView, Pose, free_space, ground_depth
from regseg_core.geometry.lidar import label_points
from regseg_core.geometry.points import (
    PointSettings,
    from_cloud,
    from_depth,
    packed_colors,
    places,
    without,
)
from regseg_core.groups import Groups
from regseg_core.labels import CAMVID
from regseg_core.outputs import OUTPUTS, Style

pytestmark = pytest.mark.filterwarnings("error")

SKY, WALL, ROAD = (CAMVID.names.index(name) for name in ("sky", "building", "road"))
CAMERA = CameraModel(
    640, 480, 500.0, 500.0, 317.2, 244.1, "plumb_bob", (-0.1, 0.02, 0.001, -0.001, 0.0)
)
POSE = Pose(1.2, pitch=0.1, roll=0.03)
AHEAD, TOP = 8.0, 3.0
COLORS = packed_colors(CAMVID.palette)
SETTINGS = PointSettings(min_range=0.3, max_range=30.0)


def met(along: Doubles, height: float) -> tuple[Doubles, npt.NDArray[np.uint8]]:
    """3 x N directions, x ahead, from such a height -> metres along each, and what is there."""
    with np.errstate(divide="ignore"):
        ground = np.where(along[2] < 0, -height / along[2], np.inf)
        wall = np.where(along[0] > 0, AHEAD / along[0], np.inf)
        wall[along[2] > along[0] * (TOP - height) / AHEAD] = np.inf
    far = np.fmin(ground, wall)
    found = np.where(np.isinf(far), SKY, np.where(ground < wall, ROAD, WALL))
    return far, found.astype(np.uint8)


@pytest.fixture(scope="module")
def view() -> GroundView:
    return GroundView(CAMERA, POSE, cell=0.2, max_range=15)


@pytest.fixture(scope="module")
def scene() -> tuple[Floats, Image, Image, Image]:
    """Depth with noise and holes; true and noisy labels; confidence."""
    rng = np.random.default_rng(7)
    rays = np.stack([*CAMERA.rays, np.ones((480, 640))]).reshape(3, -1)
    far, true = met(POSE.rotation @ rays, POSE.height)
    far, true = far.reshape(480, 640), true.reshape(480, 640)
    depth = (np.where(np.isinf(far), 0, far) * rng.normal(1, 0.01, far.shape)).astype(np.float32)
    holes = rng.random(far.shape)
    depth[holes < 0.06], depth[holes < 0.04], depth[holes < 0.02] = 0, np.nan, np.inf
    wrong = rng.random(far.shape) < 0.02
    noisy = np.where(wrong, rng.integers(0, 11, far.shape), true).astype(np.uint8)
    return depth, true, noisy, rng.integers(0, 256, far.shape, np.uint8)


@pytest.mark.parametrize("in_millimetres", [False, True])
def test_points_of_depth(scene: tuple[Floats, Image, Image, Image], in_millimetres: bool) -> None:
    depth, true, noisy, sure = scene
    millimetres = np.nan_to_num(depth * 1000, posinf=0).astype(np.uint16)
    given = millimetres if in_millimetres else depth
    points = from_depth(given, CAMERA.rays, noisy, sure, COLORS, SETTINGS)
    found = np.stack([points[name] for name in "xyz"], axis=-1)
    known = np.isfinite(found).all(axis=-1)
    assert not np.isinf(found).any() and np.isnan(found[~known]).all()
    assert known[true != SKY].mean() == pytest.approx(0.94, abs=0.01)
    assert not known[true == SKY].any()
    for label, axis, at in ((ROAD, 2, 0.0), (WALL, 0, AHEAD)):
        there = places(points, {label}).view(np.float32).reshape(-1, 3) @ POSE.rotation.T
        there[:, 2] += POSE.height
        assert len(there) > 30_000
        assert (abs(there[:, axis] - at) < 0.3).mean() > 0.97


def test_depth_of_what_stays(scene: tuple[Floats, Image, Image, Image]) -> None:
    depth, true, noisy, _ = scene
    left = without(depth, noisy, {WALL}, grow=0)
    assert left.dtype == depth.dtype
    assert (left[true == WALL] == 0).mean() > 0.97, "but for pixels that are labelled wrongly"
    road = true == ROAD
    assert np.array_equal(left[road & (noisy != WALL)], depth[road & (noisy != WALL)], True)
    assert (left[road] != depth[road])[depth[road] > 0].mean() < 0.01


def test_labels_of_a_lidar(scene: tuple[Floats, Image, Image, Image]) -> None:
    _, _, noisy, sure = scene
    rng = np.random.default_rng(8)
    # 64 rings around, half a metre above the camera, looking level.
    up, around = np.meshgrid(
        np.deg2rad(np.linspace(-25, 10, 64)), np.linspace(-np.pi, np.pi, 938), indexing="ij"
    )
    along = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    far, true = met(along.reshape(3, -1), POSE.height + 0.5)
    far[np.isinf(far)] = np.nan
    cloud = (along.reshape(3, -1) * far * rng.normal(1, 0.002, far.shape)).T.astype(np.float32)
    lost = rng.random(len(cloud))
    cloud[lost < 0.02], cloud[lost < 0.01] = np.nan, np.inf
    assert len(cloud) > 60_000
    to_camera = np.eye(4)
    to_camera[:3, :3] = POSE.rotation.T
    to_camera[:3, 3] = POSE.rotation.T @ (0, 0, 0.5)
    ids, _ = seen = label_points(cloud, to_camera, CAMERA, noisy, sure)
    known = np.isfinite(cloud).all(axis=1)
    inside = np.zeros(len(cloud), np.bool_)
    there = cloud[known] @ to_camera[:3, :3].T + to_camera[:3, 3]
    inside[known] = CAMERA.pixels(there)[:, 0] >= 0
    assert inside.sum() > 4000
    assert (ids[inside] == true[inside]).mean() > 0.95
    assert (ids[inside] != 255).mean() > 0.99, "nothing hides here"
    assert (ids[~inside] == 255).all()
    walls = places(from_cloud(cloud, seen, COLORS, SETTINGS), {WALL})
    assert len(walls) > 1000 and (abs(walls["x"] - AHEAD) < 0.1).mean() > 0.97


def test_free_space_and_depth_of_the_ground(
    scene: tuple[Floats, Image, Image, Image], view: GroundView
) -> None:
    depth, true, noisy, _ = scene
    free = free_space(view, noisy, {ROAD}, unknown=255)
    assert free.stopped.mean() > 0.94, "all but the border, where the foot is not in the image"
    near = abs(free.distances * np.cos(free.bearings) - AHEAD) < 0.05 * AHEAD
    assert near[free.stopped].mean() > 0.97
    found = ground_depth(view, noisy, {ROAD}, free)
    known = np.isfinite(found)
    assert known[true == ROAD].mean() > 0.97 and known[true != ROAD].mean() < 0.02
    measured = known & (true == ROAD) & (depth > 0) & np.isfinite(depth)
    assert abs(found[measured] / depth[measured] - 1).mean() < 0.02


def test_a_grid_of_several_frames(
    scene: tuple[Floats, Image, Image, Image], view: GroundView
) -> None:
    _, true, _, _ = scene
    rng = np.random.default_rng(9)
    grid = GroundGrid(view, {ROAD: 0}, votes=3)
    for _ in range(4):
        wrong = rng.random(true.shape) < 0.02
        noisy = np.where(wrong, rng.integers(0, 11, true.shape), true).astype(np.uint8)
        found = grid.add(noisy, free_space(view, noisy, {ROAD}, unknown=255))
    ahead = np.broadcast_to(grid.ahead, found.shape)
    before = found[:, grid.ahead < AHEAD - 0.4]
    assert (before[before != UNKNOWN] == 0).mean() > 0.99 and (before == 0).sum() > 500
    assert (abs(ahead[found == LETHAL] - AHEAD) < 0.4).mean() > 0.95
    assert (found == LETHAL).sum() > 40
    assert (found[:, grid.ahead > AHEAD + 0.4] != UNKNOWN).mean() < 0.01


def test_costs_and_small_labels(scene: tuple[Floats, Image, Image, Image]) -> None:
    _, true, noisy, confidence = scene
    frame = Frame.of(np.zeros((480, 640, 3), np.uint8), "rgb8")
    result = Segmentation(noisy, confidence, CAMVID, frame, Groups.fitting(CAMVID))
    cost = result.cost()
    for label, expected in {SKY: 255, WALL: 254, ROAD: 0}.items():
        assert (cost[noisy == label] == expected).all()
        assert (cost[true == label] == expected).mean() > 0.97, "but for pixels labelled wrongly"
    sure = result.limited(min_confidence=0.5).cost()
    assert (sure[confidence < 127] == 255).all() and (sure == cost)[confidence >= 128].all()
    small = {
        name: OUTPUTS[name].pixels(result, Style(small_size=(150, 113)))
        for name in ("label_small", "confidence_small")
    }
    for row, column in ((0, 0), (112, 149), (56, 75), (30, 149)):
        at = int((row + 0.5) * 480 / 113), int((column + 0.5) * 640 / 150)
        for found, whole in zip(small.values(), (noisy, confidence), strict=True):
            assert found is not None and found.shape == (113, 150)
            assert found[row, column] == whole[at]
