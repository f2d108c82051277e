"""Groups: the built-in ones, users' own, what a segmentation makes of them, and bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regseg_core import Frame, LabelSet, Segmentation
from regseg_core.arrays import Image
from regseg_core.errors import ArgumentError
from regseg_core.groups import BUILT_IN, LETHAL, UNKNOWN, Groups, Role
from regseg_core.labels import BUILT_IN as LABEL_SETS
from regseg_core.labels import CAMVID, CITYSCAPES, LabelClass, LabelError

#: Ids that are not indices, one of them 255, and a class that is in no group.
FARM = LabelSet(
    "farm",
    (
        LabelClass(7, "soil", (90, 60, 30)),
        LabelClass(255, "crop", (0, 200, 0)),
        LabelClass(3, "tractor", (200, 0, 0)),
        LabelClass(20, "glare", (255, 255, 255)),
    ),
    ignore_id=0,
)


def entry(name: str, classes: object, **changes: Any) -> dict[str, Any]:
    usual = {"name": name, "color": [1, 2, 3], "cost": 9, "role": "obstacle", "classes": classes}
    return {**usual, **changes}


#: Ids that are neither indices nor any class's.
MEANT = {
    "groups": [
        entry("drive", ["soil"], id=40, cost=0, role="ground"),
        entry("spare", ["crop"], id=50, cost=100),
        entry("stop", ["tractor"], id=60, cost=LETHAL, role="dynamic"),
    ]
}


def seen(groups: Groups | None) -> Segmentation:
    labels: Image = np.array([[7, 255, 3], [20, 0, 7]], np.uint8)
    frame = Frame.of(np.zeros((2, 3, 3), np.uint8), "rgb8")
    return Segmentation(labels, None, FARM, frame, groups)


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=lambda labels: labels.name)
def test_every_built_in_class_is_in_a_group_that_fits(labels: LabelSet) -> None:
    groups = Groups.fitting(labels)
    assert groups is not None and set(groups.groups_of(labels)) == set(labels.names)
    road = groups.groups_of(labels)["road"]
    assert (road.role, road.cost) == (Role.GROUND, 0)
    assert groups.groups_of(labels)["sky"].cost == UNKNOWN
    table = groups.table(labels)
    assert set(table[list(labels.ids)]) == set(groups.label_set.ids)
    assert np.count_nonzero(table != UNKNOWN) == len(labels)
    assert set(Groups.load("autoware", labels).groups_of(labels)) == set(labels.names)


def test_no_built_in_name_is_unknown_to_every_label_set() -> None:
    known = {name for labels in LABEL_SETS.values() for name in labels.names}
    for groups in BUILT_IN.values():
        assert {name for group in groups.groups for name in group.classes} <= known


def test_autowares_ids_are_its_own() -> None:
    table = Groups.load("autoware", CITYSCAPES).table(CITYSCAPES)
    counted = {"road": 9, "car": 7, "person": 6, "building": 1, "vegetation": 14, "sky": 15}
    assert {name: table[CITYSCAPES.names.index(name)] for name in counted} == counted


def test_built_in_groups_hold_the_classes_that_are_there() -> None:
    assert Groups.fitting(FARM) is None
    few = LabelSet("few", CITYSCAPES.classes[:3])
    groups = Groups.load("cityscapes", few)
    assert [group.classes for group in groups.groups] == [
        ("road", "sidewalk"),
        ("building",),
        (),
        (),
    ]
    with pytest.raises(LabelError, match=r"hold none of the classes soil, crop, .* groups of your"):
        Groups.load("camvid", FARM)


def test_files_are_read_with_the_place_in_the_list_for_an_id(tmp_path: Path) -> None:
    path = tmp_path / "field.yaml"
    path.write_text(
        "groups:\n"
        "  - {name: drive, color: [0, 99, 0], cost: 0, role: ground, classes: [soil]}\n"
        "  - {name: stop, color: [99, 0, 0], cost: 254, role: dynamic, classes: [tractor, crop]}\n"
    )
    groups = Groups.load(str(path), FARM)
    assert (groups.name, groups.label_set.names, groups.label_set.ids) == (
        "field",
        ("drive", "stop"),
        (0, 1),
    )
    table = groups.table(FARM)
    assert {i: int(t) for i, t in enumerate(table) if t != UNKNOWN} == {7: 0, 3: 1, 255: 1}
    assert (groups.costs[0], groups.costs[1]) == (0, 254) and (groups.costs[2:] == UNKNOWN).all()
    assert groups.ids(Role.GROUND) == {0} and groups.ids(Role.OBSTACLE, Role.DYNAMIC) == {1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"groups: [", r"wrong\.yaml: .*while parsing"),
        (b"\xff\xfe\xff", r"wrong\.yaml: .*codec can't decode"),
        (b"groups: !!python/object/apply:os.getcwd []", r"wrong\.yaml: .*could not determine"),
        (b"", r"wrong\.yaml: groups need a list `groups`"),
        (
            b"groups: [{name: a, color: [0, 0, 0], cost: 0, role: ground, classes: [soil, tree]}]",
            r"wrong\.yaml: no class is called tree; there are soil, crop, tractor, glare",
        ),
    ],
)
def test_files_that_are_wrong_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "wrong.yaml").write_bytes(content)
    with pytest.raises(LabelError, match=f"(?s){reason}"):
        Groups.load(str(tmp_path / "wrong.yaml"), FARM)


def test_files_that_are_no_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="Is a directory"):
        Groups.load(str(tmp_path), FARM)
    with pytest.raises(FileNotFoundError, match=r"'citys': .* one of cityscapes, camvid, autoware"):
        Groups.load("citys", CAMVID)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([1], "need a list `groups` of entries with name, cost and classes"),
        ({"groups": {"a": 1}}, "need a list `groups`"),
        ({"groups": []}, "0 classes"),
        ({**MEANT, "cost": 3}, r"no entry \['cost'\]"),
        ({"groups": ["drive"]}, r"groups\[0\] needs classes, color, cost, name, role, not 'drive'"),
        ({"groups": [{"name": "a"}]}, r"groups\[0\] needs"),
        ({"groups": [entry("a", [], price=1)]}, r"groups\[0\] has no entry \['price'\]"),
        ({"groups": [entry("a", []), entry("b", [], id="1")]}, r"groups\[1\]: id .* not '1'"),
        ({"groups": [entry("a", [], cost=True)]}, "cost must be a whole number, not True"),
        ({"groups": [entry("a", [], cost=1.5)]}, "cost must be a whole number, not 1.5"),
        ({"groups": [entry("a", [], cost=256)]}, r"group 'a': cost 256 is outside 0 .* 254"),
        ({"groups": [entry("a", [], cost=-1)]}, "cost -1 is outside"),
        ({"groups": [entry("a", [], color="red")]}, "color must be three whole numbers, not 'red'"),
        ({"groups": [entry("a", [], color=[True, 0, 0])]}, "color must be three whole numbers"),
        ({"groups": [entry("a", [], color=[0, 0])]}, r"color \[0, 0\] is not three numbers"),
        ({"groups": [entry("a", "soil")]}, "classes must be a list of names, not"),
        ({"groups": [entry("a", [3])]}, r"classes must be a list of names, not \[3\]"),
        ({"groups": [entry("a", [], role="road")]}, "role 'road' is none of ground, obstacle, dyn"),
        ({"groups": [entry("a", [], role=["ground"])]}, r"role \['ground'\] is none of"),
        ({"groups": [entry("a", ["x"]), entry("b", ["x"])]}, "'x' is in group 'a' and in 'b'"),
        ({"groups": [entry("a", ["x", "x"])]}, "'x' is in group 'a' and in 'a'"),
        ({"groups": [entry("a", []), entry("a", [])]}, "name used by more than one class: a"),
        ({"groups": [entry("a", [], id=1), entry("b", [])]}, "id used by more than one class: 1"),
        ({"groups": [entry("a", [], id=255)]}, "255 is the id of class 'a' too"),
        ({"groups": [entry("a", [], id=256)]}, "id 256 is outside 0 to 255"),
    ],
)
def test_bad_groups_say_what_is_wrong(data: Any, reason: str) -> None:
    with pytest.raises(LabelError, match=reason):
        Groups.from_dict(data)


def test_pixels_have_the_group_and_the_cost_of_their_class() -> None:
    result = seen(Groups.from_dict(MEANT))
    grouped = result.grouped()
    for found in (result, grouped):
        assert found.group_ids.tolist() == [[40, 50, 60], [255, 255, 40]]
        assert found.cost().tolist() == [[0, 100, 254], [255, 255, 0]]
        assert found.costs()[found.labels].tolist() == found.cost().tolist()
    assert result.ids(Role.GROUND) == {7}
    assert result.ids(Role.OBSTACLE, Role.DYNAMIC) == {255, 3}
    assert grouped.ids(Role.GROUND) == {40}
    assert grouped.ids(Role.OBSTACLE, Role.DYNAMIC) == {50, 60}
    assert grouped.label_set.names == ("drive", "spare", "stop")
    assert grouped.mask()[1].tolist() == [[0, 0, 0], [0, 0, 0], [1, 2, 3]]
    assert grouped.grouped().labels.tolist() == grouped.labels.tolist()


def test_what_was_left_out_has_no_group_and_no_cost() -> None:
    limited = seen(Groups.from_dict(MEANT)).limited(["crop", "tractor"])
    assert limited.group_ids.tolist() == [[255, 50, 60], [255, 255, 255]]
    assert limited.cost().tolist() == [[255, 100, 254], [255, 255, 255]]
    assert limited.grouped().limited(["stop"]).labels.tolist() == [[255, 255, 60], [255] * 3]


@pytest.mark.parametrize("what", ["grouped", "cost", "ids", "costs", "group_ids"])
def test_without_groups_it_is_said_what_to_do(what: str) -> None:
    with pytest.raises(ArgumentError, match="fit the classes soil, crop, tractor, glare: give gro"):
        found = getattr(seen(None), what)
        found()
