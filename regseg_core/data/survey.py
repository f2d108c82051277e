"""One look at every label of a data set before training: what is wrong, and what is where."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from regseg_core.arrays import Image
from regseg_core.data.labelled import DataError, LabelledImages, size_mismatch
from regseg_core.files import write_bytes

#: So many files of each kind of error are named.
_NAMED = 5


@dataclass(frozen=True)
class Survey:
    """What a data set's labels hold."""

    #: classes, int64: labelled pixels of each class.
    pixels: npt.NDArray[np.int64]
    #: M x 4 int32: image, class, and the row and column of the class's centroid in one tile.
    centroids: npt.NDArray[np.int32]


def survey(splits: Mapping[str, Sequence[LabelledImages]], tile: int, workers: int) -> list[Survey]:
    """Reads every label and every image's header once, in `workers` processes, with a progress bar.

    `splits` gives the parts of each split; returns one Survey for each, in order. `tile` is the
    side, in pixels, of the squares whose class centroids are kept (paper's class-uniform sampling).
    Raises DataError: one report of all kinds of errors, with the first files of each.
    """
    problems: dict[str, list[str]] = defaultdict(list)
    results = []
    for name, parts in splits.items():
        images = sum(map(len, parts))
        pixels = np.zeros(len(parts[0].labels), np.int64)
        centroids, shapes, offset = [], set(), 0
        with tqdm(total=images, unit="label", desc=f"checking {name}", leave=False) as bar:
            for part in parts:
                for entry in part.unpaired:
                    problems[f"{name}: without image or label"].append(entry)
                loader = DataLoader(
                    _Looks(part, tile),
                    batch_size=None,
                    num_workers=workers,
                    collate_fn=_as_it_is,
                )
                for look in loader:
                    bar.update()
                    if isinstance(look, _Problem):
                        problems[f"{name}: {look.kind}"].append(look.text)
                        continue
                    pixels += look.pixels
                    shapes.add(look.shape)
                    look.centroids[:, 0] += offset
                    centroids.append(look.centroids)
                offset += len(part)
        if not problems:
            print(f"{name}: {images} images, {_sizes(shapes)}")
        results.append(Survey(pixels, np.concatenate(centroids or [np.zeros((0, 4), np.int32)])))
    if problems:
        raise DataError("the data do not fit:" + "".join(map(_paragraph, problems.items())))
    return results


def cached_survey(
    splits: Mapping[str, Sequence[LabelledImages]], tile: int, workers: int, cache: Path
) -> list[Survey]:
    """`survey`, kept in the file `cache` until a file, the label set or the tile changes."""
    key = _key(splits, tile)
    if (kept := _read(cache, key, len(splits))) is not None:
        return kept
    found = survey(splits, tile, workers)
    buffer = io.BytesIO()
    arrays: dict[str, npt.NDArray[Any]] = {f"pixels{i}": s.pixels for i, s in enumerate(found)}
    arrays |= {f"centroids{i}": s.centroids for i, s in enumerate(found)}
    np.savez_compressed(buffer, key=np.array(key), **arrays)  # type: ignore[arg-type]
    write_bytes(cache, buffer.getvalue())
    return found


def _read(cache: Path, key: str, splits: int) -> list[Survey] | None:
    try:
        with np.load(cache, allow_pickle=False) as stored:
            if str(stored["key"]) != key:
                return None
            return [Survey(stored[f"pixels{i}"], stored[f"centroids{i}"]) for i in range(splits)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # it is only a cache


def _key(splits: Mapping[str, Sequence[LabelledImages]], tile: int) -> str:
    digest = hashlib.sha256(f"1 {tile}".encode())
    for name, parts in splits.items():
        for part in parts:
            meaning = [part.labels.to_dict(), part.decode.labels.to_dict()]
            digest.update(json.dumps([name, *meaning, part.unpaired]).encode())
            for path in (path for pair in part.pairs for path in pair):
                stat = path.stat()
                digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Problem:
    kind: str
    text: str


@dataclass(frozen=True)
class _Look:
    shape: tuple[int, int]
    pixels: npt.NDArray[np.int64]
    centroids: npt.NDArray[np.int32]


class _Looks(Dataset[_Look | _Problem]):
    def __init__(self, images: LabelledImages, tile: int) -> None:
        self.images, self.tile = images, tile

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> _Look | _Problem:
        try:
            shape = self.images.image_shape(index)
        except DataError as error:
            return _Problem("unreadable images", str(error))
        try:
            label = self.images.label(index)
        except DataError as error:
            return _Problem("labels that cannot be used", str(error))
        if label.shape != shape:
            path = self.images.pairs[index][1]
            return _Problem("sizes that differ", f"{path} {size_mismatch(label.shape, shape)}")
        classes = len(self.images.labels)
        pixels = np.bincount(label.ravel(), minlength=256)[:classes]
        return _Look(shape, pixels, tile_centroids(label, classes, self.tile, index))


def _as_it_is(look: Any) -> Any:
    return look


def tile_centroids(label: Image, classes: int, tile: int, image: int) -> npt.NDArray[np.int32]:
    """M x 4 int32 (image, class, row, column): each class's mean place in each square of an image.

    `label`: H x W uint8 class indices.
    """
    found = []
    height, width = label.shape
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            part = label[top : top + tile, left : left + tile]
            flat = part.ravel()
            rows = np.repeat(np.arange(part.shape[0]), part.shape[1])
            columns = np.tile(np.arange(part.shape[1]), part.shape[0])
            count, row, column = (
                np.bincount(flat, weights, minlength=256)[:classes]
                for weights in (None, rows, columns)
            )
            for present in np.flatnonzero(count):
                middle = row[present] / count[present], column[present] / count[present]
                found.append((image, present, top + round(middle[0]), left + round(middle[1])))
    return np.array(found, np.int32).reshape(-1, 4)


def _sizes(shapes: set[tuple[int, int]]) -> str:
    if len(shapes) == 1:
        return "all {1} x {0} pixels".format(*next(iter(shapes)))
    heights, widths = zip(*shapes, strict=True)
    return f"{min(widths)} x {min(heights)} to {max(widths)} x {max(heights)} pixels"


def _paragraph(problem: tuple[str, list[str]]) -> str:
    kind, texts = problem
    more = [f"and {len(texts) - _NAMED} more"] if len(texts) > _NAMED else []
    return f"\n  {kind} ({len(texts)}):" + "".join(f"\n    {t}" for t in texts[:_NAMED] + more)
