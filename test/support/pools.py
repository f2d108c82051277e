"""Pools that are hard on formats, written for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regseg_core.annotation.exchange import import_pool
from regseg_core.annotation.pool import Pool
from regseg_core.arrays import Image
from regseg_core.errors import RegSegError
from regseg_core.labels import LabelClass, LabelSet

LABELS = LabelSet(
    "yard",
    (
        LabelClass(7, "open ground", (128, 64, 128)),
        LabelClass(200, 'Straße & "Weg" <1>', (0, 160, 0)),
        LabelClass(255, "人", (0, 0, 0)),
        LabelClass(3, "pole", (153, 153, 153)),
    ),
    ignore_id=9,
)

SHAPES = {
    "a single pixel": (1, 1),
    "row": (1, 37),
    "column": (41, 1),
    "Hof Süd/0001": (23, 17),
    "one 'class' & more": (8, 8),
    "nothing": (5, 9),
    "large": (150, 300),
    "drive7.mcap_front-image-raw_17": (6, 11),
}


def made_label(name: str, shape: tuple[int, int]) -> Image:
    """Ids: noise with objects of one pixel, pixels without a class, one class, or none."""
    rng = np.random.default_rng(len(name))
    if name.startswith("one"):
        return np.full(shape, 200, np.uint8)
    if name == "nothing":
        return np.full(shape, 9, np.uint8)
    if name == "large":  # runs of more than 2^16 words
        label = np.full(shape, 7, np.uint8)
        label[100, 200], label[-1, -1] = 3, 255
        return label
    return rng.choice(np.array([7, 200, 255, 3, 9], np.uint8), shape)


def made_pool(root: Path) -> Path:
    """A pool of SHAPES."""
    made = Pool.create(root, LABELS)
    for name, shape in SHAPES.items():
        made.add(name, np.full((*shape, 3), len(name), np.uint8), made_label(name, shape))
    return root


def small_pool(root: Path) -> Path:
    """A pool of one image of 6 x 4 pixels, all of the class "open ground"."""
    made = Pool.create(root, LABELS)
    made.add("a", np.zeros((4, 6, 3), np.uint8), np.full((4, 6), 7, np.uint8))
    return root


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def imported(small: Path, source: Path) -> Image:
    """The one image's class indices; shows that a failure leaves nothing."""
    before = files(small)
    out = small.parent / "imported"
    try:
        import_pool([source], small, out)
        return Pool.open(out).label(0)
    except RegSegError:
        assert not out.exists()
        raise
    finally:
        assert files(small) == before
        assert not list(small.parent.glob(".*"))
