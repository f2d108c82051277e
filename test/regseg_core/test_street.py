"""The synthetic street as a calibrated camera with depth, and the pictures that are made of it."""

from __future__ import annotations

import numpy as np
import pytest

from regseg_core.arrays import Image
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.data.synthetic.painter import CAMERA_HEIGHT, CLASS
from regseg_core.data.synthetic.plan import PAVEMENT_EDGE, ROAD_EDGE
from regseg_core.data.synthetic.street import distance
from regseg_core.geometry.camera_model import Floats
from regseg_core.geometry.drawing import FREE, FromAbove, Onlooker, cost_colors, cost_image
from regseg_core.geometry.grid import LETHAL, UNKNOWN
from regseg_core.geometry.picture import Ground, ground_picture, map_legend
from regseg_core.labels import CAMVID

TIME = 5.0


@pytest.fixture(scope="module")
def street() -> SyntheticStreet:
    return SyntheticStreet(480, 360, seed=5)


@pytest.fixture(scope="module")
def seen(street: SyntheticStreet) -> tuple[Image, Floats]:
    """Labels, and 3 x H x W metres right, down and ahead."""
    depth = street.depth(TIME)
    with np.errstate(invalid="ignore"):  # 0 x infinity, in the sky
        places = np.stack([*(street.camera.rays * depth), depth])
    return street.frame(TIME)[1], places


def test_depth_lies_where_the_street_is_planned(seen: tuple[Image, Floats]) -> None:
    labels, (right, down, ahead) = seen
    assert np.isinf(ahead[labels == CLASS["sky"]]).all()
    road = (labels == CLASS["road"]) & (ahead < 15)
    assert down[road] == pytest.approx(CAMERA_HEIGHT, rel=0.01)
    # A pixel at the edge covers some of both sides.
    assert np.abs(right[road]).max() < ROAD_EDGE * 1.05
    pavement = (labels == CLASS["pavement"]) & (ahead < 15)
    assert (np.abs(right[pavement]) > ROAD_EDGE * 0.95).mean() > 0.99
    houses = (labels == CLASS["building"]) & (ahead < 15)
    assert houses.any() and np.abs(right[houses]).min() > PAVEMENT_EDGE * 0.95


def test_depth_of_a_car_is_its_distance(
    street: SyntheticStreet, seen: tuple[Image, Floats]
) -> None:
    labels, (_, _, ahead) = seen
    cars = [np.float32(distance(t, TIME)) for t in street.plan.things if t.kind == "car"]
    found = np.unique(ahead[labels == CLASS["car"]])
    assert len(found) > 1 and np.isin(found, cars).all()


def test_costs_have_colours_from_free_to_lethal() -> None:
    table = cost_colors().astype(int)
    assert tuple(table[0]) == FREE and len({tuple(row) for row in table}) > 200
    assert (np.abs(np.diff(table[:255], axis=0)) <= 3).all(), "no jumps between like costs"
    assert (cost_image(np.array([[0, 255]], np.uint8))[0] == table[[0, 255]]).all()


def test_the_map_has_ahead_above_and_left_on_the_left() -> None:
    cells = np.full((20, 10), UNKNOWN, np.int8)  # 10 m to either side, 10 m ahead
    cells[:, :5] = 0
    cells[15, 7] = LETHAL  # 5.5 m to the left, 7.5 m ahead
    above = FromAbove(ahead=10, beside=10, scale=10)
    above.grid(cells, cell=1.0)
    table = cost_colors()
    assert above.image.shape == (100 + above.foot, 200, 3)
    assert (above.image[25, 45] == table[254]).all() and (above.image[25, 155] == table[255]).all()
    assert (above.image[51:100] == table[0]).all()
    # Half as wide a map shows the middle of the same.
    narrow = FromAbove(ahead=10, beside=6, scale=10)
    narrow.grid(cells, cell=1.0)
    assert (narrow.image[25, 5] == table[254]).all()


def test_a_line_breaks_where_nothing_is_known() -> None:
    above = FromAbove(ahead=10, beside=5, scale=10)
    before = above.image.copy()
    ahead = np.array([2.0, 2.0, np.nan, 2.0, 2.0])
    above.line(ahead, np.array([4.0, 2.0, 0.0, -2.0, -4.0]))
    changed = (above.image != before).any(axis=(0, 2))
    assert changed[12] and changed[88] and not changed[40:60].any()


def test_near_points_hide_far_ones() -> None:
    points = np.array([[0, 0, 9], [0, 0, 3], [np.nan, 0, 1], [0, 0, -5]], np.float32)
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 255]], np.uint8)
    image = Onlooker(up=0, back=0, pitch=0).sees(points, colors)
    assert (image[180, 240] == (0, 255, 0)).all()
    assert not (image == (0, 0, 255)).all(axis=2).any() and len(np.unique(image)) < 8


def test_a_picture_of_a_street_has_its_three_panels() -> None:
    image, _ = SyntheticStreet().frame(0.0)
    cells = np.zeros((40, 20), np.int8)
    ground = Ground(cells, 0.5, np.array([5.0, 6.0]), np.array([1.0, -1.0]))
    picture = ground_picture(image, image, ground, CAMVID.classes)
    assert (picture[26 : 26 + 360, :480] == image).all(), "the camera is not resized"
    for entry in (*map_legend(), *CAMVID.classes):
        assert (picture == entry.color).all(axis=2).any(), entry.name
    empty = Ground(np.full_like(cells, UNKNOWN), 0.5, np.array([]), np.array([]))
    assert ground_picture(image, image, empty, []).dtype == np.uint8
