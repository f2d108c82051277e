"""CVAT's "CVAT for images 1.1": an XML file in which masks are run lengths.

Source: docs.cvat.ai, "XML annotation format", and cvat/apps/dataset_manager/formats/cvat.py. Of
CVAT's formats it is the one in which a pixel may have no class: label images fill those with a
background (issue 8995) or are refused for an id without a class (7847).

A mask is its bounding box and, row by row within it, the lengths of the runs outside and inside,
outside first. There is one mask for each class in an image, however many parts it has; CVAT takes
such masks in this format, others refuse them (7458).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from tqdm import tqdm

from regseg_core.annotation.canvas import Canvas, Points, box, ellipse, polygon
from regseg_core.annotation.elements import elements
from regseg_core.annotation.pool import AnnotationError, Pool, hex_color
from regseg_core.annotation.runs import Mask, from_run_lengths, masks, run_lengths
from regseg_core.arrays import Image
from regseg_core.labels import LabelSet

ANNOTATIONS = "annotations.xml"
LABELS = "labels.json"

#: What stands in an image and covers no pixels.
_NO_SHAPES = frozenset({"tag"})

_MOST_CORNERS = 100_000
#: Pixels. Annotators draw beyond the edges, but not as far as where numbers overflow.
_FARTHEST = 1e6
#: Characters of what a file says, in messages.
_SHOWN = 80


def write_cvat(pool: Pool, folder: Path) -> None:
    """Writes annotations.xml, and labels.json for CVAT's label constructor ("Raw").

    Raises DataError for a label that is unreadable or does not fit its image.
    """
    labels = [
        {"name": entry.name, "color": hex_color(entry.color), "type": "any", "attributes": []}
        for entry in pool.labels.classes
    ]
    (folder / LABELS).write_text(json.dumps(labels, indent=1, ensure_ascii=False), "utf-8")
    with (folder / ANNOTATIONS).open("w", encoding="utf-8", newline="\n") as file:
        _write_head(file, pool)
        # CVAT goes by names, and where it knows none by ids, in the order of file names.
        order = sorted(range(len(pool)), key=pool.file_name)
        for image_id, number in enumerate(tqdm(order, unit="image", desc="exporting")):
            _write_image(file, image_id, pool.file_name(number), pool.label(number), pool.labels)
        file.write("</annotations>\n")


def read_cvat(path: Path, pool: Pool) -> Iterator[tuple[int, Image]]:
    """The number in the pool and the H x W uint8 class indices of each image in such a file.

    `path`: the XML file, or the ZIP that CVAT exports. Masks, polygons, boxes and ellipses are
    painted by their z_order, of equals later ones over earlier; 255 where there is no shape.

    Raises AnnotationError with the image and the shape: of no area, of an unknown class, or
    damaged; for images that the pool does not have in that size; and as `elements` does. One image
    at a time is in memory.
    """
    reading: _Reading | None = None
    depth = 0
    for begins, name, attributes in elements(path, ANNOTATIONS):
        depth += 1 if begins else -1
        if begins and depth == 1 and name != "annotations":
            raise AnnotationError(f'{path}: is no "CVAT for images 1.1" (it begins with {name})')
        if begins and depth == 2 and name == "track":
            raise AnnotationError(f'{path}: holds tracks: export it as "CVAT for images 1.1"')
        if begins and depth == 2 and name == "image":
            reading = _Reading(path, pool, attributes)
        elif begins and depth == 3 and reading is not None:
            reading.shape(name, attributes)
        elif not begins and depth == 1 and reading is not None:
            yield reading.number, reading.canvas.labels
            reading = None


def _write_head(file: IO[str], pool: Pool) -> None:
    file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
    file.write(f"<meta><task><name>{escape(pool.root.resolve().name)}</name>")
    file.write(f"<size>{len(pool)}</size><mode>annotation</mode><labels>\n")
    for entry in pool.labels.classes:
        file.write(f"<label><name>{escape(entry.name)}</name>")
        file.write(f"<color>{hex_color(entry.color)}</color><type>any</type>")
        file.write("<attributes></attributes></label>\n")
    file.write("</labels></task></meta>\n")


def _write_image(file: IO[str], image_id: int, name: str, label: Image, labels: LabelSet) -> None:
    height, width = label.shape
    file.write(
        f'<image id="{image_id}" name={quoteattr(name)} width="{width}" height="{height}">\n'
    )
    for index, mask in masks(label):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        (top, bottom), (left, right) = (rows[0], rows[-1]), (columns[0], columns[-1])
        runs = run_lengths(mask[top : bottom + 1, left : right + 1])
        file.write(
            f'<mask label={quoteattr(labels.names[index])} source="auto" occluded="0"'
            f' rle="{", ".join(map(str, runs.tolist()))}" left="{left}" top="{top}"'
            f' width="{right - left + 1}" height="{bottom - top + 1}" z_order="0"></mask>\n'
        )
    file.write("</image>\n")


class _Reading:
    """One image element, as far as it was read."""

    def __init__(self, path: Path, pool: Pool, attributes: dict[str, str]) -> None:
        name = attributes.get("name", "")
        self._place = f"{path}: image {name[:_SHOWN]!r}"
        number = pool.find(name)
        if number is None:
            raise AnnotationError(f"{self._place} is not in {pool.root}, split {pool.split!r}")
        self.number, self.labels, self._shapes = number, pool.labels, 0
        height, width = pool.shape(number)
        if (attributes.get("width"), attributes.get("height")) != (str(width), str(height)):
            raise AnnotationError(
                f"{self._place} is {attributes.get('width')} x {attributes.get('height')}, in the"
                f" pool {width} x {height}"
            )
        self.canvas = Canvas((height, width))

    def shape(self, kind: str, attributes: dict[str, str]) -> None:
        """Paints one shape."""
        if kind in _NO_SHAPES:
            return
        self._shapes += 1
        label = attributes.get("label", "")
        place = f"{self._place}, {kind} {self._shapes} ({label[:_SHOWN]})"
        try:
            if label not in self.labels.names:
                raise AnnotationError(f"no such class; there are {', '.join(self.labels.names)}")
            self._paint(kind, self.labels.names.index(label), attributes)
        except KeyError as error:
            raise AnnotationError(f"{place}: attribute {error} is missing") from error
        # Ours, and what is no number to NumPy and Python.
        except (ValueError, OverflowError) as error:
            raise AnnotationError(f"{place}: {error}") from error

    def _paint(self, kind: str, index: int, attributes: dict[str, str]) -> None:
        z_order = int(attributes.get("z_order", "0"))
        if abs(z_order) >= 1 << 31:
            raise AnnotationError(f"z_order {z_order} is out of range")
        if kind == "mask":
            mask, top, left = self._mask(attributes)
            self.canvas.paint(index, mask, top, left, z_order)
        else:
            corners = _corners(kind, attributes)
            self.canvas.paint(index, polygon(corners, self.canvas.shape), z_order=z_order)

    def _mask(self, attributes: dict[str, str]) -> tuple[Mask, int, int]:
        left, top, width, height = (int(attributes[k]) for k in ("left", "top", "width", "height"))
        rows, columns = self.canvas.shape
        within = 0 <= left < left + width <= columns and 0 <= top < top + height <= rows
        if not within:
            raise AnnotationError("its box is not within the image")
        text, area = attributes["rle"], width * height
        if text.count(",") > area:
            raise AnnotationError(f"more run lengths than its box has pixels, {area}")
        runs = np.array([int(run) for run in text.split(",")], np.int64)
        if runs.min() < 0 or runs.max() > area or runs.sum() != area:
            raise AnnotationError(f"run lengths that do not add up to its box, {area} pixels")
        return from_run_lengths(runs).reshape(height, width), top, left


def _corners(kind: str, attributes: dict[str, str]) -> Points:
    """A polygon for a shape that is none. Raises AnnotationError for shapes without area."""
    rotation = _number(attributes.get("rotation", "0"))
    if kind == "polygon":
        text = attributes["points"]
        if not 3 <= (count := text.count(";") + 1) <= _MOST_CORNERS:
            raise AnnotationError(f"{count} points; a polygon has 3 to {_MOST_CORNERS}")
        numbers = [_number(part) for pair in text.split(";") for part in pair.split(",")]
        if len(numbers) != 2 * count:
            raise AnnotationError("points that are not pairs of numbers")
        return np.array(numbers, np.float64).reshape(count, 2)
    if kind == "box":
        left, top, right, bottom = (_number(attributes[k]) for k in ("xtl", "ytl", "xbr", "ybr"))
        return box(left, top, right, bottom, rotation)
    if kind == "ellipse":
        x, y, across, down = (_number(attributes[k]) for k in ("cx", "cy", "rx", "ry"))
        return ellipse(x, y, across, down, rotation)
    raise AnnotationError("covers no pixels: draw a mask, polygon, box or ellipse")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= _FARTHEST:
        raise AnnotationError(f"{text[:_SHOWN]!r} is no place in an image")
    return number
