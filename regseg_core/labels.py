"""LabelSet: what the classes are called, how they are coloured and which id stands for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from regseg_core.arrays import Image
from regseg_core.errors import RegSegError

#: In tensors of class indices: a pixel that has no class and that no loss or score counts.
IGNORE_INDEX = 255

MAX_CLASSES = 255


class LabelError(RegSegError, ValueError):
    """A label set, or labels that do not belong to it, with what is wrong and where."""


@dataclass(frozen=True)
class LabelClass:
    """One class: the id it has in label images, its name and its RGB colour (0 to 255 each)."""

    id: int
    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class LabelSet:
    """The classes in the order of the network's outputs.

    `ignore_id` is the id that label images give to pixels without a class.
    Raises LabelError for no or more than 255 classes, ids or colours outside 0..255, and ids or
    names that occur twice.
    """

    name: str
    classes: tuple[LabelClass, ...]
    ignore_id: int = 255

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise LabelError(
                f"label set {self.name!r} has {len(self.classes)} classes; 1 to {MAX_CLASSES} fit"
                " into one byte a pixel"
            )
        for entry in self.classes:
            if not 0 <= entry.id <= 255:
                raise LabelError(f"class {entry.name!r}: id {entry.id} is outside 0 to 255")
            if len(entry.color) != 3 or not all(0 <= c <= 255 for c in entry.color):
                raise LabelError(
                    f"class {entry.name!r}: color {list(entry.color)} is not three numbers 0 to 255"
                )
        if not 0 <= self.ignore_id <= 255:
            raise LabelError(f"ignore_id {self.ignore_id} is outside 0 to 255")
        if self.ignore_id in self.ids:
            taken = self.classes[self.ids.index(self.ignore_id)].name
            raise LabelError(f"ignore_id {self.ignore_id} is the id of class {taken!r} too")
        _refuse_duplicates("id", self.ids)
        _refuse_duplicates("name", self.names)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(entry.id for entry in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def palette(self) -> Image:
        """256 x 3 uint8: the RGB colour of each id, black where an id has no class."""
        palette = np.zeros((256, 3), np.uint8)
        for entry in self.classes:
            palette[entry.id] = entry.color
        return palette

    def to_indices(self, label_image: Image, void: Iterable[int] = ()) -> Image:
        """H x W uint8 ids -> H x W uint8 class indices, IGNORE_INDEX where the id is ignore_id.

        255 and the ids in `void` are taken as "no class" too. Raises LabelError that lists the ids
        it does not know.
        """
        table = np.full(256, IGNORE_INDEX, np.uint8)
        table[list(self.ids)] = np.arange(len(self), dtype=np.uint8)
        is_unknown = np.ones(256, np.uint8)
        is_unknown[[*self.ids, self.ignore_id, IGNORE_INDEX, *void]] = 0
        if cv2.LUT(label_image, is_unknown).any():
            present = np.bincount(label_image.ravel(), minlength=256) > 0
            raise LabelError(
                f"ids {np.flatnonzero(present * is_unknown).tolist()} are not in label set"
                f" {self.name!r} (ids {list(self.ids)}, ignored {self.ignore_id})"
            )
        return cv2.LUT(label_image, table).astype(np.uint8, copy=False)

    def ordered(self, names: Iterable[str]) -> LabelSet:
        """The same classes, with the ids that they have, in the order of `names`.

        Raises LabelError where these are other names.
        """
        names = tuple(names)
        if sorted(names) != sorted(self.names):
            raise LabelError(
                f"label set {self.name!r} has the classes {', '.join(self.names)}, not"
                f" {', '.join(names)}"
            )
        classes = tuple(self.classes[self.names.index(name)] for name in names)
        return LabelSet(self.name, classes, self.ignore_id)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads."""
        return {
            "name": self.name,
            "ignore_id": self.ignore_id,
            "classes": [{"id": c.id, "name": c.name, "color": list(c.color)} for c in self.classes],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], name: str = "custom") -> LabelSet:
        """A label set from `{"classes": [{"name", "color", "id"?}, ...], "ignore_id"?, "name"?}`.

        A class without an id gets its index in the list. Raises LabelError as the class does, and
        for missing, unknown or ill-typed entries.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("classes"), list):
            raise LabelError("a label set needs a list `classes` of entries with name and color")
        if unknown := set(data) - {"name", "ignore_id", "classes"}:
            raise LabelError(f"a label set has no entry {sorted(map(str, unknown))}")
        classes = tuple(_parse_class(index, entry) for index, entry in enumerate(data["classes"]))
        ignore_id = data.get("ignore_id", 255)
        if not is_int(ignore_id):
            raise LabelError(f"ignore_id must be a whole number, not {ignore_id!r}")
        return cls(str(data.get("name", name)), classes, ignore_id)

    @classmethod
    def from_yaml(cls, path: str | Path) -> LabelSet:
        """A label set from a YAML file in the form of `from_dict`.

        Raises FileNotFoundError, and LabelError that names the file.
        """
        path = Path(path)
        try:
            return cls.from_dict(yaml.safe_load(path.read_text(encoding="utf-8")), path.stem)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"no label set {str(path)!r}: give a YAML file or one of {', '.join(BUILT_IN)}"
            ) from None
        except (LabelError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise LabelError(f"{path}: {error}") from error

    @classmethod
    def load(cls, source: str | Path) -> LabelSet:
        """The built-in label set of that name, or the one in that YAML file."""
        return BUILT_IN.get(str(source)) or cls.from_yaml(source)


def _refuse_duplicates(what: str, values: Iterable[object]) -> None:
    values = list(values)
    if twice := sorted({str(v) for v in values if values.count(v) > 1}):
        raise LabelError(f"{what} used by more than one class: {', '.join(twice)}")


def is_int(value: object) -> bool:
    """Whether it is a whole number; YAML's true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_class(index: int, entry: object) -> LabelClass:
    if not isinstance(entry, Mapping) or not {"name", "color"} <= set(entry):
        raise LabelError(f"classes[{index}] needs `name` and `color`, not {entry!r}")
    if unknown := set(entry) - {"id", "name", "color"}:
        raise LabelError(f"classes[{index}] has no entry {sorted(map(str, unknown))}")
    class_id, color = entry.get("id", index), entry["color"]
    if not is_int(class_id):
        raise LabelError(f"classes[{index}]: id must be a whole number, not {class_id!r}")
    if not isinstance(color, list | tuple) or not all(is_int(c) for c in color):
        raise LabelError(f"classes[{index}]: color must be three whole numbers, not {color!r}")
    return LabelClass(class_id, str(entry["name"]), tuple(color))


def _built_in(name: str, ignore_id: int, rows: dict[str, tuple[int, int, int]]) -> LabelSet:
    classes = (LabelClass(i, title, color) for i, (title, color) in enumerate(rows.items()))
    return LabelSet(name, tuple(classes), ignore_id)


#: The 19 classes that Cityscapes scores, by train id, in its standard colours.
CITYSCAPES = _built_in(
    "cityscapes",
    255,
    {
        "road": (128, 64, 128),
        "sidewalk": (244, 35, 232),
        "building": (70, 70, 70),
        "wall": (102, 102, 156),
        "fence": (190, 153, 153),
        "pole": (153, 153, 153),
        "traffic light": (250, 170, 30),
        "traffic sign": (220, 220, 0),
        "vegetation": (107, 142, 35),
        "terrain": (152, 251, 152),
        "sky": (70, 130, 180),
        "person": (220, 20, 60),
        "rider": (255, 0, 0),
        "car": (0, 0, 142),
        "truck": (0, 0, 70),
        "bus": (0, 60, 100),
        "train": (0, 80, 100),
        "motorcycle": (0, 0, 230),
        "bicycle": (119, 11, 32),
    },
)

#: The 11 classes of CamVid in the order and ids of its 480 x 360 distribution; 11 is void.
CAMVID = _built_in(
    "camvid",
    11,
    {
        "sky": (128, 128, 128),
        "building": (128, 0, 0),
        "pole": (192, 192, 128),
        "road": (128, 64, 128),
        "pavement": (0, 0, 192),
        "tree": (128, 128, 0),
        "sign": (192, 128, 128),
        "fence": (64, 64, 128),
        "car": (64, 0, 128),
        "pedestrian": (64, 64, 0),
        "bicyclist": (0, 128, 192),
    },
)


def _reordered(name: str, base: LabelSet, ids: Iterable[int], names: Iterable[str]) -> LabelSet:
    rows = zip(ids, names, strict=True)
    return LabelSet(
        name,
        tuple(LabelClass(i, title, base.classes[base.ids.index(i)].color) for i, title in rows),
        base.ignore_id,
    )


#: CamVid's classes in the order of the paper's published code, with the ids that the
#: 480 x 360 distribution gives them.
CAMVID_PUBLISHED = _reordered(
    "camvid-published",
    CAMVID,
    (1, 5, 0, 8, 6, 3, 9, 7, 2, 4, 10),
    (
        "building",
        "tree",
        "sky",
        "car",
        "sign",
        "road",
        "pedestrian",
        "fence",
        "pole",
        "sidewalk",
        "bicyclist",
    ),
)

#: Cityscapes' classes with the ids of its labelIds files, which submissions carry too.
CITYSCAPES_LABEL_IDS = LabelSet(
    "cityscapes-labelids",
    tuple(
        LabelClass(label_id, entry.name, entry.color)
        for label_id, entry in zip(
            (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
            CITYSCAPES.classes,
            strict=True,
        )
    ),
)

BUILT_IN = {
    label_set.name: label_set
    for label_set in (CITYSCAPES, CAMVID, CITYSCAPES_LABEL_IDS, CAMVID_PUBLISHED)
}
