"""Label sets: the built-in ones, users' own, and what is wrong with a bad one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regseg_core.labels import CAMVID, CITYSCAPES, LabelError, LabelSet


def classes(*entries: tuple[int, str, list[int]]) -> dict[str, Any]:
    return {"classes": [{"id": i, "name": n, "color": c} for i, n, c in entries]}


def test_built_in_sets() -> None:
    assert len(CITYSCAPES) == 19 and CITYSCAPES.ignore_id == 255
    assert CITYSCAPES.names[:3] == ("road", "sidewalk", "building")
    assert CITYSCAPES.palette[13].tolist() == [0, 0, 142]
    order = "sky building pole road pavement tree sign fence car pedestrian bicyclist"
    assert CAMVID.names == tuple(order.split())
    assert CAMVID.ignore_id == 11
    assert CAMVID.palette[200].tolist() == [0, 0, 0]


def test_yaml_round_trip(tmp_path: Path) -> None:
    (tmp_path / "farm.yaml").write_text(
        "ignore_id: 0\n"
        "classes:\n"
        "  - {id: 7, name: crop, color: [0, 200, 0]}\n"
        "  - {id: 3, name: weed, color: [200, 0, 0]}\n"
    )
    farm = LabelSet.load(tmp_path / "farm.yaml")
    assert (farm.name, farm.ids, farm.names) == ("farm", (7, 3), ("crop", "weed"))
    assert LabelSet.from_dict(farm.to_dict()) == farm
    indices = farm.to_indices(np.array([[0, 3], [7, 255]], np.uint8))
    assert indices.tolist() == [[255, 1], [0, 255]]


def test_classes_in_another_order_keep_their_ids() -> None:
    turned = CAMVID.ordered(reversed(CAMVID.names))
    assert turned.ids == tuple(reversed(CAMVID.ids)) and turned.ignore_id == 11
    assert turned.classes[0] == CAMVID.classes[-1]
    with pytest.raises(LabelError, match=r"camvid' has the classes sky, .* not sky, lake"):
        CAMVID.ordered(("sky", "lake"))


def test_ids_default_to_the_place_in_the_list() -> None:
    data = {"classes": [{"name": "a", "color": [0, 0, 0]}, {"name": "b", "color": [1, 1, 1]}]}
    assert LabelSet.from_dict(data).ids == (0, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (classes((1, "a", [0, 0, 0]), (1, "b", [0, 0, 0])), "id used by more than one class: 1"),
        (classes((1, "a", [0, 0, 0]), (2, "a", [0, 0, 0])), "name used by more than one class: a"),
        (classes((1, "a", [0, 0, 256])), r"color \[0, 0, 256\]"),
        (classes((1, "a", [0, 0])), r"color \[0, 0\]"),
        (classes((256, "a", [0, 0, 0])), "id 256 is outside"),
        (classes((255, "a", [0, 0, 0])), "ignore_id 255 is the id of class 'a'"),
        (classes(*((i, str(i), [0, 0, 0]) for i in range(256))), "256 classes"),
        (classes(), "0 classes"),
        ({"classes": [{"name": "a"}]}, r"classes\[0\] needs"),
        ({"classes": [{"name": "a", "color": "red"}]}, "three whole numbers"),
        ({"classes": [{"name": "a", "color": [1.5, 0, 0]}]}, "three whole numbers"),
        ({"classes": [{"name": "a", "color": [0, 0, 0], "colour": 1}]}, "no entry"),
        ({"classes": [{"id": "x", "name": "a", "color": [0, 0, 0]}]}, "whole number"),
        ({**classes((1, "a", [0, 0, 0])), "ignore": 3}, "no entry"),
        ({**classes((1, "a", [0, 0, 0])), "ignore_id": None}, "ignore_id must be"),
        ([1], "needs a list"),
    ],
)
def test_bad_sets_say_what_is_wrong(data: Any, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        LabelSet.from_dict(data)


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("classes: [")
    with pytest.raises(LabelError, match=r"bad\.yaml"):
        LabelSet.load(tmp_path / "bad.yaml")
    with pytest.raises(FileNotFoundError, match="cityscapes, camvid"):
        LabelSet.load("cityscape")


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    (tmp_path / "evil.yaml").write_text("classes: !!python/object/apply:os.getcwd []")
    with pytest.raises(LabelError, match=r"evil\.yaml"):
        LabelSet.load(tmp_path / "evil.yaml")


def test_unknown_ids_are_listed() -> None:
    with pytest.raises(LabelError, match=r"ids \[12, 40\]"):
        CAMVID.to_indices(np.array([[0, 11, 12], [40, 255, 3]], np.uint8))
