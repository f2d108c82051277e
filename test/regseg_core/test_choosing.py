"""Which scored frames are chosen to be labelled, and how that is told."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from regseg_core.errors import ArgumentError
from regseg_core.frame import Frame
from regseg_core.labels import CAMVID
from regseg_core.mining.candidate import Candidate
from regseg_core.mining.choosing import Chosen, Scored, choose
from regseg_core.mining.report import MOST, ContactSheet, summary, write_why
from regseg_core.rotation import ROTATIONS
from regseg_core.segmentation import Segmentation


def row(bag: str, time: int, value: float | None, place: float) -> Scored:
    """A frame at a place on a line: the distance of two is that of their places."""
    return Scored(Candidate(bag, "/front", time), value, np.array([place, 0], np.float16))


def times(chosen: list[Chosen]) -> list[int]:
    return [entry.candidate.time_ns for entry in chosen]


def test_the_most_uncertain_first_and_none_near_another() -> None:
    rows = [row("a", time, time / 100, (time // 10) / 10) for time in range(100)]
    found = choose(rows, 5, min_distance=0.15)
    assert times(found) == [99, 79, 59, 39, 19]
    assert [entry.rank for entry in found] == [1, 2, 3, 4, 5]
    assert [entry.distance for entry in found] == pytest.approx([0.2] * 5, abs=0.001)
    # A place is never given twice, but there are but ten.
    assert len(choose(rows, 50, min_distance=0.05)) == 10
    assert len(choose(rows, 50, min_distance=0.0)) == 50


def test_many_near_duplicates_before_the_first_other_frame() -> None:
    rows = [row("a", time, 0.9, 0.5) for time in range(1000)] + [row("a", 5000, 0.1, 0.9)]
    assert times(choose(rows, 2)) == [0, 5000]


def test_bags_take_turns() -> None:
    rows = [row("dark", time, 0.9 + time / 1e3, time / 50) for time in range(40)]
    rows += [row("light", 100 + time, 0.1 + time / 1e3, 0.01 + time / 50) for time in range(2)]
    rows += [row("fog", 200, 0.5, 0.015)]
    found = choose(rows, 6, min_distance=0.0)
    bags = [entry.candidate.bag for entry in found]
    assert bags == ["dark", "fog", "light", "dark", "light", "dark"]
    # Of bags too, none near another one's.
    assert times(choose(rows, 6, min_distance=0.5)) == [39, 200]


def test_ties_and_the_order_of_arrival_change_nothing() -> None:
    rows = [row(bag, time, 0.5, time / 40) for bag in ("b", "a") for time in range(20)]
    found = choose(rows, 10, min_distance=0.02)
    assert [entry.candidate.bag for entry in found[:4]] == ["a", "b", "a", "b"]
    assert times(found)[:3] == [0, 1, 2]
    rng = np.random.default_rng(0)
    for _ in range(3):
        assert choose([rows[i] for i in rng.permutation(len(rows))], 10, 0.02) == found


def test_fewer_than_asked_are_explained() -> None:
    rows = [row("a", 1, 0.5, 0.1), row("a", 2, 0.6, 0.1), row("a", 3, None, 0.9)]
    found = choose(rows, 9)
    assert times(found) == [2] and found[0].distance is None
    line = summary(rows, found, 9)
    assert line == ("chose 1 of 3 frames, not 9: 1 others are too like these, 1 have no score")
    assert summary(rows, found, 1) == "chose 1 of 3 frames"
    assert "there are no more" in summary(rows[:1], choose(rows[:1], 9), 9)
    assert choose([], 5) == [] == choose(rows[2:], 5)


@pytest.mark.parametrize(("count", "least"), [(0, 0.1), (-3, 0.1), (1, 1.5), (1, float("nan"))])
def test_impossible_choices_are_refused(count: int, least: float) -> None:
    with pytest.raises(ArgumentError, match="must be"):
        choose([], count, least)


def test_why_is_a_table_that_programs_read(tmp_path: Path) -> None:
    rows = [row('north, "wet"', 1700000000123456789, 0.5, 0.1), row("b", 2, 0.25, 0.9)]
    write_why(tmp_path / "why.csv", choose(rows, 2))
    with (tmp_path / "why.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [entry["bag"] for entry in read] == ['north, "wet"', "b"]
    assert read[0]["time_ns"] == "1700000000123456789"
    assert read[0]["name"] == "north-wet_front_1700000000123456789"
    assert [float(read[0][key]) for key in ("score", "distance")] == pytest.approx([0.5, 0.8], 1e-3)


def test_no_two_files_of_a_pool_have_one_name() -> None:
    bags = ["a/b", "a-b", "a b", "c"]
    found = choose([row(bag, 7, 0.5, n / 9) for n, bag in enumerate(bags)], 4, 0.0)
    names = {entry.candidate.bag: entry.name for entry in found}
    assert names == {
        "a b": "a-b_front_7",
        "a-b": "a-b_front_7_2",
        "a/b": "a-b_front_7_3",
        "c": "c_front_7",
    }


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_the_contact_sheet_shows_frames_upright_in_the_order_of_choice(rotation: int) -> None:
    sheet = ContactSheet()
    for rank in (MOST + 1, 2, 1):
        upright = np.zeros((120, 160, 3), np.uint8)
        upright[:60] = 255 if rank == 1 else 100
        lying = np.ascontiguousarray(np.rot90(upright, rotation // 90))
        labels = np.full(lying.shape[:2], CAMVID.ids[3], np.uint8)
        frame = Frame.of(lying, "rgb8", rotation)
        chosen = Chosen(Candidate("bag", "/front", rank), 0.5, rank, None, "name")
        sheet.add(chosen, Segmentation(labels, None, CAMVID, frame))
    image = sheet.image()
    width = image.shape[1] // 3
    assert image[20, 60].tolist() == [255] * 3 and image[140, 60].tolist() == [0] * 3
    assert image[20, width + 60].tolist() == [100] * 3
    road = np.array(CAMVID.classes[3].color)
    assert np.abs(image[140, 260] - road / 2).max() <= 1
    assert (image[20:150, 2 * width : 3 * width - 20] == 255).all()  # no third frame
