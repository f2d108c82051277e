"""Points and ground over DDS: a node with a depth camera, and one with a lidar above the ground."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nav_msgs.msg import OccupancyGrid
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rig import Rig, pixels, rig
from sensor_msgs.msg import CameraInfo, LaserScan, PointCloud2
from sensors import (
    FOCAL,
    FRAME,
    HEIGHT,
    SLANTED,
    WIDTH,
    cloud,
    depth,
    info,
    read,
    send_until,
    start,
)

from regseg_core import Segmenter
from regseg_core.geometry.camera_model import CameraModel
from regseg_core.geometry.grid import GroundGrid
from regseg_core.geometry.ground import GroundView, Pose, free_space
from regseg_core.geometry.points import AUTOWARE_POINT, PLACE, POINT
from regseg_core.groups import BUILT_IN

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("places")]

CAMERA = CameraModel(WIDTH, HEIGHT, FOCAL, FOCAL, 47.5, 31.5)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("places")) as made:
        yield start(made)


def put(running: Rig, name: str, **value: Any) -> str:
    request = SetParameters.Request(
        parameters=[Parameter(name=name, value=ParameterValue(**value))]
    )
    (result,) = running.call(SetParameters, "/regseg/set_parameters", request).results
    return "" if result.successful else str(result.reason)


def test_points_of_depth_are_where_they_are_and_what_they_are(
    running: Rig, segment: Segmenter
) -> None:
    got = {
        "points": running.listen("/regseg/front/points", PointCloud2),
        "obstacles": running.listen("/regseg/front/obstacles", PointCloud2),
        "static_depth": running.listen("/regseg/front/static_depth"),
    }
    measured = SLANTED.copy()
    measured[5, 7] = 0
    others = {"/front/depth": depth(measured), "/front/camera_info": info()}
    sent = send_until(running, "front", others, lambda: all(got.values()))
    result = segment(FRAME, "rgb8", confidence=True)
    assert result.confidence is not None

    message = got["points"][0]
    points = read(message, POINT)
    assert message.header == sent.header and points.shape == (HEIGHT, WIDTH)
    assert np.isnan(points["z"][5, 7]) and not message.is_dense
    known = np.isfinite(points["z"])
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    z = np.round(measured, 3)
    for axis, expected in {
        "x": (column - 47.5) / FOCAL * z,
        "y": (row - 31.5) / FOCAL * z,
        "z": z,
    }.items():
        assert np.abs(points[axis] - expected)[known].max() < 1e-4
    assert np.array_equal(points["label"], result.labels)
    assert np.abs(points["confidence"] * 255 - result.confidence).max() < 1e-3
    color = result.mask().astype(int)
    assert np.array_equal(
        points["rgb"], (color[..., 0] << 16) + (color[..., 1] << 8) + color[..., 2]
    )

    meant = BUILT_IN["camvid"].table(result.label_set)[result.labels]
    obstacles = read(got["obstacles"][0], PLACE)
    assert len(obstacles) == (np.isin(meant, (1, 2)) & known).sum() > 100
    static = np.frombuffer(got["static_depth"][0].data, "<u2").reshape(HEIGHT, WIDTH)
    assert (static[meant == 2] == 0).all() and (
        static[static > 0] == np.round(measured * 1000)[static > 0]
    ).all()
    assert got["static_depth"][0].encoding == "16UC1"


def test_every_other_pixel_in_autowares_layout(running: Rig, segment: Segmenter) -> None:
    assert not put(running, "points_stride", type=ParameterType.PARAMETER_INTEGER, integer_value=4)
    kind = ParameterType.PARAMETER_STRING
    assert not put(running, "points_layout", type=kind, string_value="autoware")
    points = running.listen("/regseg/front/points", PointCloud2)
    labels = running.listen("/regseg/front/label_small")
    infos = running.listen("/regseg/front/label_small/camera_info", CameraInfo)
    others = {"/front/depth": depth(SLANTED), "/front/camera_info": info()}
    sent = send_until(running, "front", others, lambda: points and labels and infos)
    found, small = read(points[0], AUTOWARE_POINT), pixels(labels[0])
    assert found.shape == small.shape == (16, 24) and labels[0].step == 24
    assert np.array_equal(found["class_id"], small)
    assert np.array_equal(small, segment(FRAME, "rgb8").labels[2::4, 2::4])
    assert labels[0].header == infos[0].header == points[0].header == sent.header
    assert (infos[0].width, infos[0].height, infos[0].k[0]) == (24, 16, FOCAL / 4)
    # The middle stays the middle.
    assert infos[0].k[2] == pytest.approx(11.5) and infos[0].k[5] == pytest.approx(7.5)
    put(running, "points_layout", type=kind, string_value="pcl")
    put(running, "points_stride", type=ParameterType.PARAMETER_INTEGER, integer_value=1)


def test_a_lidars_points_take_the_labels_of_the_pixels_that_see_them(
    running: Rig, segment: Segmenter
) -> None:
    got = running.listen("/regseg/rear/points", PointCloud2)
    # x ahead, y left, z up; the last lies behind the first, one behind the camera, one beside.
    lidar = np.array(
        [[5, 1.0, -0.5], [5, -1.0, 0.5], [-5, 0, 0], [5, 9, 0], [20, 4.0, -2.0]], np.float32
    )
    scanned = cloud(lidar)
    scanned.header.frame_id = "lidar"
    others = {"/lidar": scanned, "/rear/camera_info": info()}
    sent = send_until(running, "rear", others, lambda: got)
    points = read(got[0], POINT)
    labels = segment(FRAME, "rgb8").labels
    assert got[0].header.frame_id == "lidar" and got[0].header.stamp == sent.header.stamp
    assert np.array_equal(np.stack([points[a] for a in "xyz"], axis=1), lidar)
    at = [(round(31.5 - FOCAL * z / x), round(47.5 - FOCAL * y / x)) for x, y, z in lidar[:2]]
    assert list(points["label"]) == [labels[at[0]], labels[at[1]], 255, 255, 255]
    assert (points["confidence"][2:] == 0).all() and (points["confidence"][:2] > 0).all()


def test_the_ground_before_a_camera_of_known_height(running: Rig, segment: Segmenter) -> None:
    got = {
        "free_space": running.listen("/regseg/rear/free_space", LaserScan),
        "grid": running.listen("/regseg/rear/grid", OccupancyGrid),
        "ground_points": running.listen("/regseg/rear/ground_points", PointCloud2),
    }
    sent = send_until(running, "rear", {"/rear/camera_info": info()}, lambda: all(got.values()))
    result = segment(FRAME, "rgb8", confidence=True)
    view = GroundView(CAMERA, Pose(1.2, 0.1), cell=0.5, max_range=10.0)
    ground = {result.label_set.names.index(name) for name in ("road", "pavement")}
    free = free_space(view, result.labels, ground, unknown=255)

    scan = got["free_space"][0]
    assert scan.header.frame_id == "base_link" and scan.header.stamp == sent.header.stamp
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    assert angles == pytest.approx(free.bearings, abs=1e-4)
    assert np.array(scan.ranges) == pytest.approx(free.distances, rel=1e-5, nan_ok=True)
    assert (
        np.isfinite(scan.ranges).any() and max(r for r in scan.ranges if r < 1e9) < scan.range_max
    )

    grid = got["grid"][0]
    cells = np.array(grid.data).reshape(grid.info.height, grid.info.width)
    expected = GroundGrid(view, dict.fromkeys(ground, 0)).add(result.labels, free)
    assert np.array_equal(cells, expected) and {-1, 0, 100} == set(np.unique(cells))
    assert grid.info.origin.position.y == pytest.approx(-0.5 * grid.info.height / 2)

    points = read(got["ground_points"][0], POINT)
    known = np.isfinite(points["z"])
    down = np.cos(0.1) * points["y"] + np.sin(0.1) * points["z"]
    assert points.shape == (HEIGHT, WIDTH) and got["ground_points"][0].header == sent.header
    assert known.any() and down[known] == pytest.approx(1.2, rel=1e-4), "all lie on the ground"
    assert not known[:10].any(), "nothing above the horizon"


def show(running: Rig, groups: str) -> str:
    return put(running, "groups", type=ParameterType.PARAMETER_STRING, string_value=groups)


def names(running: Rig) -> list[str]:
    request = GetParameters.Request(names=["class_names"])
    (value,) = running.call(GetParameters, "/regseg/get_parameters", request).values
    return list(value.string_array_value)


def test_groups_take_the_place_of_classes_while_the_node_runs(
    running: Rig, segment: Segmenter
) -> None:
    labels, masks = running.listen("/regseg/front/label"), running.listen("/regseg/front/mask")
    costs = running.listen("/regseg/front/cost")
    classes, groups = segment(FRAME, "rgb8"), BUILT_IN["autoware"]
    meant = groups.table(classes.label_set)[classes.labels]
    assert not show(running, "autoware")
    running.until(lambda: "ROAD" in names(running))
    send_until(running, "front", {}, lambda: labels and masks and costs)
    assert np.array_equal(pixels(labels[-1]), meant)
    assert np.array_equal(pixels(masks[-1]), groups.label_set.palette[meant])
    assert np.array_equal(pixels(costs[-1]), groups.costs[meant])
    assert "no groups 'nowhere': give a YAML file or one of" in show(running, "nowhere")
    assert not show(running, "")
    running.until(lambda: names(running) == list(classes.label_set.names))


def test_a_file_of_groups_that_is_set_again_is_read_again(running: Rig, tmp_path: Path) -> None:
    file = tmp_path / "groups.yaml"
    group = "{name: NAME, color: [1, 2, 3], cost: 0, role: ground, classes: [road]}"
    for name in ("drive", "walk"):
        file.write_text(f"groups: [{group.replace('NAME', name)}]")
        assert not show(running, str(file))
        running.until(lambda name=name: names(running) == [name])  # type: ignore[misc]
    assert not show(running, "")
    running.until(lambda: "road" in names(running))
