"""What classes mean to a robot: what it may drive on, what stands in its way, what moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from regseg_core.arrays import Image
from regseg_core.labels import LabelClass, LabelError, LabelSet, is_int

#: Of pixels of which nothing is known, as an id and as a cost.
UNKNOWN = 255
#: The cost of what must not be touched, as in Nav2.
LETHAL = 254


class Role(str, Enum):
    """What a robot does with a group. Obstacles are also what is dynamic, which maps leave out."""

    GROUND = "ground"
    OBSTACLE = "obstacle"
    DYNAMIC = "dynamic"
    BACKGROUND = "background"


@dataclass(frozen=True)
class Group:
    """Classes that mean the same. `cost`: 0, free, to 254, lethal; 255: unknown."""

    id: int
    name: str
    color: tuple[int, int, int]
    cost: int
    role: Role
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Groups:
    """A partition of classes; those in no group are unlabelled. Raises LabelError."""

    name: str
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        _ = self.label_set
        taken: dict[str, str] = {}
        for group in self.groups:
            if not 0 <= group.cost <= UNKNOWN:
                raise LabelError(
                    f"group {group.name!r}: cost {group.cost} is outside 0 (free) to {LETHAL}"
                    f" (lethal) and {UNKNOWN} (unknown)"
                )
            for name in group.classes:
                if name in taken:
                    raise LabelError(f"{name!r} is in group {taken[name]!r} and in {group.name!r}")
                taken[name] = group.name

    @cached_property
    def label_set(self) -> LabelSet:
        """The groups as classes, with their ids, names and colours; 255 is no group."""
        return LabelSet(self.name, tuple(LabelClass(g.id, g.name, g.color) for g in self.groups))

    @cached_property
    def costs(self) -> Image:
        """256 uint8: the cost of each group's id; 255, unknown, where there is no group."""
        table = np.full(256, UNKNOWN, np.uint8)
        for group in self.groups:
            table[group.id] = group.cost
        return table

    def ids(self, *roles: Role) -> frozenset[int]:
        """The ids of the groups that have one of these roles."""
        return frozenset(group.id for group in self.groups if group.role in roles)

    def table(self, labels: LabelSet) -> Image:
        """256 uint8: the group's id for each id of `labels`; 255 where there is none.

        `labels` may be the groups themselves: each id stands for itself then.
        """
        if labels is self.label_set:
            return np.arange(256, dtype=np.uint8)
        table = np.full(256, UNKNOWN, np.uint8)
        ids = dict(zip(labels.names, labels.ids, strict=True))
        for group in self.groups:
            table[[ids[name] for name in group.classes if name in ids]] = group.id
        return table

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], name: str = "custom") -> Groups:
        """Groups from `{"groups": [{"name", "id"?, "color", "cost", "role", "classes"}, ...]}`.

        A group without an id gets its index in the list. Raises LabelError for missing, unknown or
        ill-typed entries.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("groups"), list):
            raise LabelError("groups need a list `groups` of entries with name, cost and classes")
        if unknown := set(data) - {"name", "groups"}:
            raise LabelError(f"groups have no entry {sorted(map(str, unknown))}")
        groups = tuple(_parse(index, entry) for index, entry in enumerate(data["groups"]))
        return cls(str(data.get("name", name)), groups)

    @classmethod
    def load(cls, source: str, labels: LabelSet) -> Groups:
        """The built-in groups of that name or those in that YAML file, for these classes.

        Raises FileNotFoundError, and LabelError for a file that is wrong or names a class that is
        not there, and for built-in groups that hold none of the classes.
        """
        if source in BUILT_IN:
            found = BUILT_IN[source].limited_to(labels)
            if not found.groups_of(labels):
                raise LabelError(
                    f"groups {source!r} hold none of the classes {', '.join(labels.names)}: give a"
                    " YAML file with groups of your own"
                )
            return found
        path = Path(source)
        try:
            found = cls.from_dict(yaml.safe_load(path.read_text(encoding="utf-8")), path.stem)
            named = {name for group in found.groups for name in group.classes}
            if wrong := sorted(named - set(labels.names)):
                raise LabelError(
                    f"no class is called {', '.join(wrong)}; there are {', '.join(labels.names)}"
                )
        except FileNotFoundError:
            raise FileNotFoundError(
                f"no groups {source!r}: give a YAML file or one of {', '.join(BUILT_IN)}"
            ) from None
        except (LabelError, yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise LabelError(f"{path}: {error}") from error
        return found

    @classmethod
    def fitting(cls, labels: LabelSet) -> Groups | None:
        """The built-in groups that hold every class, with roles as usual on a street."""
        for groups in BUILT_IN.values():
            if len(groups.groups_of(labels)) == len(labels):
                return groups.limited_to(labels)
        return None

    def groups_of(self, labels: LabelSet) -> dict[str, Group]:
        """The group of each class that is in one."""
        found = {name: group for group in self.groups for name in group.classes}
        return {name: found[name] for name in labels.names if name in found}

    def limited_to(self, labels: LabelSet) -> Groups:
        """The same without the classes that are not among `labels`."""
        return replace(
            self,
            groups=tuple(
                replace(g, classes=tuple(n for n in g.classes if n in labels.names))
                for g in self.groups
            ),
        )


_ENTRIES = {"name", "color", "cost", "role", "classes"}


def _parse(index: int, entry: object) -> Group:
    if not isinstance(entry, Mapping) or not set(entry) >= _ENTRIES:
        raise LabelError(f"groups[{index}] needs {', '.join(sorted(_ENTRIES))}, not {entry!r}")
    if unknown := set(entry) - _ENTRIES - {"id"}:
        raise LabelError(f"groups[{index}] has no entry {sorted(map(str, unknown))}")
    number, cost, color, classes = (
        entry.get("id", index),
        entry["cost"],
        entry["color"],
        entry["classes"],
    )
    for name, value in (("id", number), ("cost", cost)):
        if not is_int(value):
            raise LabelError(f"groups[{index}]: {name} must be a whole number, not {value!r}")
    if not isinstance(color, list) or not all(is_int(c) for c in color):
        raise LabelError(f"groups[{index}]: color must be three whole numbers, not {color!r}")
    if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
        raise LabelError(f"groups[{index}]: classes must be a list of names, not {classes!r}")
    if (role := entry["role"]) not in (roles := [known.value for known in Role]):
        raise LabelError(f"groups[{index}]: role {role!r} is none of {', '.join(roles)}")
    return Group(number, str(entry["name"]), tuple(color), cost, Role(role), tuple(classes))


def _street(name: str, **classes: str) -> Groups:
    """The four groups of a street; classes with commas between."""
    colors = {
        "traversable": (0, 160, 0),
        "obstacle": (200, 60, 40),
        "dynamic": (250, 170, 30),
        "sky": (70, 130, 180),
    }
    meant = {
        "traversable": (0, Role.GROUND),
        "obstacle": (LETHAL, Role.OBSTACLE),
        "dynamic": (LETHAL, Role.DYNAMIC),
        "sky": (UNKNOWN, Role.BACKGROUND),
    }
    rows = enumerate(classes.items())
    return Groups(
        name,
        tuple(
            Group(number, group, colors[group], *meant[group], tuple(names.split(", ")))
            for number, (group, names) in rows
        ),
    )


CITYSCAPES = _street(
    "cityscapes",
    traversable="road, sidewalk",
    obstacle="building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain",
    dynamic="person, rider, car, truck, bus, train, motorcycle, bicycle",
    sky="sky",
)

#: Both names that the distributions have for what lies beside the road.
CAMVID = _street(
    "camvid",
    traversable="road, pavement, sidewalk",
    obstacle="building, pole, tree, sign, fence",
    dynamic="car, pedestrian, bicyclist",
    sky="sky",
)

#: The ids that Autoware's segmentation_pointcloud_fusion counts by (filter_semantic_label_target).
AUTOWARE = Groups(
    "autoware",
    tuple(
        Group(number, name, color, cost, role, tuple(classes.split(", ")))
        for number, name, color, cost, role, classes in (
            (1, "BUILDING", (70, 70, 70), LETHAL, Role.OBSTACLE, "building"),
            (2, "WALL", (102, 102, 156), LETHAL, Role.OBSTACLE, "wall"),
            (3, "OBSTACLE", (153, 153, 153), LETHAL, Role.OBSTACLE, "pole, fence"),
            (4, "TRAFFIC_LIGHT", (250, 170, 30), LETHAL, Role.OBSTACLE, "traffic light"),
            (5, "TRAFFIC_SIGN", (220, 220, 0), LETHAL, Role.OBSTACLE, "traffic sign, sign"),
            (6, "PERSON", (220, 20, 60), LETHAL, Role.DYNAMIC, "person, pedestrian"),
            (7, "VEHICLE", (0, 0, 142), LETHAL, Role.DYNAMIC, "car, truck, bus, train"),
            (
                8,
                "BIKE",
                (119, 11, 32),
                LETHAL,
                Role.DYNAMIC,
                "rider, motorcycle, bicycle, bicyclist",
            ),
            (9, "ROAD", (128, 64, 128), 0, Role.GROUND, "road"),
            (10, "SIDEWALK", (244, 35, 232), 100, Role.GROUND, "sidewalk, pavement"),
            (14, "VEGETATION", (107, 142, 35), LETHAL, Role.OBSTACLE, "vegetation, terrain, tree"),
            (15, "SKY", (70, 130, 180), UNKNOWN, Role.BACKGROUND, "sky"),
        )
    ),
)

BUILT_IN = {groups.name: groups for groups in (CITYSCAPES, CAMVID, AUTOWARE)}
