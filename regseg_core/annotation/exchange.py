"""Pools out to annotation tools, and what people have made of them back: whole or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from regseg_core.annotation.cvat import read_cvat, write_cvat
from regseg_core.annotation.labelstudio import read_labelstudio, write_labelstudio
from regseg_core.annotation.pool import AnnotationError, Pool
from regseg_core.arrays import Image
from regseg_core.data.labelled import refuse_other_classes
from regseg_core.errors import ArgumentError
from regseg_core.files import FileError, holds_something, made_beside
from regseg_core.labels import LabelSet

#: What an export can be for.
TOOLS = ("cvat", "labelstudio", "folder")

#: What XML 1.0 cannot hold, not even escaped, nor file names that are no UTF-8.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Imported:
    """What came back."""

    #: Images, each with its label.
    images: int
    #: How many of them have another label than in the pool.
    changed: int


def export_pool(
    pool: Path, to: str, out: Path, split: str | None = None, image_root: str | None = None
) -> int:
    """Writes a pool's labels for one of `TOOLS` into a folder; returns how many images.

    - cvat: annotations.xml and labels.json; images are uploaded from the pool.
    - labelstudio: labels.xml and tasks-N.json; `image_root` as in `write_labelstudio`.
    - folder: a pool of the split alone, to be corrected with any program for images.

    `out` is new or empty, and complete or not there. `split`: which, where the pool has several.

    Raises ArgumentError for an unknown tool; AnnotationError, DataError and LabelError for a pool
    that cannot be used, with the file; FileError.
    """
    if to not in TOOLS:
        raise ArgumentError(f"there is no export to {to!r}; there are {', '.join(TOOLS)}")
    source, out = Pool.open(pool, split), out.resolve()
    for name in (*source.labels.names, *source.names):
        if _NOT_IN_XML.search(name):
            raise AnnotationError(f"{pool}: the name {name!r} fits into no XML: give another")
    if holds_something(out):
        raise FileError(f"{out} exists: give another folder")
    with made_beside(out) as folder:
        if to == "cvat":
            write_cvat(source, folder)
        elif to == "labelstudio":
            write_labelstudio(source, folder, image_root)
        else:
            copy = Pool.create(folder, source.labels, source.split)
            for number in tqdm(range(len(source)), unit="image", desc="exporting"):
                copy.copy(source, number, source.label(number))
        _place(folder, out)
    return len(source)


def import_pool(
    sources: Sequence[Path],
    pool: Path,
    out: Path,
    split: str | None = None,
    out_split: str | None = None,
) -> Imported:
    """Makes data to train on of corrected annotations and the pool that they were made of.

    `sources`: what CVAT (.xml, .zip) and Label Studio (.json) have exported, or folders; several
    where the work was divided. `split`: the pool's, where it has several. `out` gets the images
    that are in `sources`, and those only, as its split `out_split` (None: the pool's); it is a new
    folder, or a data set of the same classes without such a split. The pool stays as it is.

    Raises AnnotationError, with file, image and shape, for annotations that cannot be used, images
    that occur twice and none at all; DataError for other classes; as `Pool.open` does; FileError.
    Nothing has changed then.
    """
    base, out = Pool.open(pool, split), out.resolve()
    out_split = out_split or base.split
    labels = _classes_of(out, base.labels)
    with made_beside(out) as folder:
        if holds_something(out):
            shutil.copyfile(out / "labels.yaml", folder / "labels.yaml")
        for kind in ("images", "labels"):
            if (out / kind / out_split).exists():
                raise FileError(f"{out / kind / out_split} exists: give another folder or split")
        target = Pool.create(folder, labels, out_split)
        seen, changed = set[int](), 0
        with tqdm(total=len(base), unit="image", desc="importing") as bar:
            for source in sources:
                for number, label in _read(source, base):
                    name = base.names[number]
                    if number in seen:
                        raise AnnotationError(f"{source}: image {name!r} occurs twice")
                    seen.add(number)
                    changed += not np.array_equal(label, base.label(number))
                    target.copy(base, number, label)
                    bar.update()
        if not seen:
            raise AnnotationError(f"{', '.join(map(str, sources))}: no image in it")
        _place(folder, out)
    return Imported(len(seen), changed)


def _read(source: Path, pool: Pool) -> Iterator[tuple[int, Image]]:
    suffix = source.suffix.lower()
    if source.is_dir():
        return _read_folder(source, pool)
    if suffix in (".xml", ".zip"):
        return read_cvat(source, pool)
    if suffix == ".json":
        return read_labelstudio(source, pool)
    raise AnnotationError(
        f"{source} is neither CVAT's (.xml, .zip) nor Label Studio's (.json), nor a folder"
    )


def _read_folder(source: Path, pool: Pool) -> Iterator[tuple[int, Image]]:
    split = pool.split if (source / "images" / pool.split).is_dir() else None
    corrected = Pool.open(source, split, pool.labels)
    for number, name in enumerate(corrected.names):
        found = pool.find(corrected.file_name(number))  # it takes a suffix away
        if found is None:
            raise AnnotationError(f"{source}: image {name!r} is not in {pool.root}")
        if corrected.shape(number) != pool.shape(found):
            raise AnnotationError(f"{source}: image {name!r} has another size than in {pool.root}")
        yield found, corrected.label(number)


def _classes_of(out: Path, labels: LabelSet) -> LabelSet:
    """The classes of a data set that is there; else these."""
    if not holds_something(out):
        return labels
    if not (out / "labels.yaml").is_file():
        raise FileError(f"{out} exists, and is no data set with labels.yaml: give another folder")
    there = LabelSet.from_yaml(out / "labels.yaml")
    if set(there.names) != set(labels.names):
        refuse_other_classes(out, there, labels)
    return there


def _place(folder: Path, out: Path) -> None:
    """Puts what is complete in its place: the folder, or its split into a data set."""
    if not holds_something(out):
        folder.replace(out)
        return
    placed: list[Path] = []
    try:
        # Images last: without them it is no split yet.
        for kind in ("labels", "images"):
            (split,) = (folder / kind).iterdir()
            place = out / kind / split.name
            place.parent.mkdir(exist_ok=True)
            split.rename(place)
            placed.append(place)
    except OSError:
        for place in placed:
            shutil.rmtree(place, ignore_errors=True)
        raise
