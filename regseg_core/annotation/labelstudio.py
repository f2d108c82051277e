"""Label Studio's JSON, with a brush mask for each class of an image.

Source: labelstud.io, tag BrushLabels and "Import pre-annotated data". Pre-labels are `predictions`;
what people have made of them comes back as `annotations`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from tqdm import tqdm

from regseg_core.annotation.brush import decode_brush, encode_brush
from regseg_core.annotation.canvas import Canvas
from regseg_core.annotation.pool import AnnotationError, Pool, hex_color
from regseg_core.annotation.runs import masks
from regseg_core.arrays import Image

CONFIG = "labels.xml"

_IMAGE, _BRUSH = "image", "label"
_BETWEEN = ",\n"
#: Label Studio takes uploads of up to 250 MB, proxies before it often less.
_MOST_BYTES_WRITTEN = 100_000_000
_MOST_BYTES_READ = 512 << 20

_T = TypeVar("_T")


def write_labelstudio(
    pool: Pool, folder: Path, image_root: str | None = None, most_bytes: int = _MOST_BYTES_WRITTEN
) -> None:
    """Writes labels.xml, the labelling interface, and tasks-1.json, tasks-2.json and so on.

    `image_root` stands before each image's path within its split; None: Label Studio's URL of local
    files, for a document root that holds the pool's folder. A file has at most `most_bytes`, or one
    task.

    Raises DataError for a label that is unreadable or does not fit its image.
    """
    (folder / CONFIG).write_text(_config(pool), "utf-8")
    if image_root is None:
        inside = f"{pool.root.resolve().name}/images/{pool.split}/"
        image_root = f"/data/local-files/?d={quote(os.fsencode(inside))}"
    files, size, tasks = 1, 0, list[str]()
    for number in tqdm(range(len(pool)), unit="image", desc="exporting"):
        task = json.dumps(_task(pool, number, image_root), separators=(",", ":"))
        if tasks and size + len(task) > most_bytes:
            _write_tasks(folder, files, tasks)
            files, size, tasks = files + 1, 0, []
        tasks.append(task)
        size += len(task) + len(_BETWEEN)
    _write_tasks(folder, files, tasks)


def read_labelstudio(path: Path, pool: Pool) -> Iterator[tuple[int, Image]]:
    """The number in the pool and the H x W uint8 class indices of each task in an export ("JSON").

    Of several annotations the one that is marked as ground truth, or the last, without those of
    people who skipped the task. Where none is left, the last prediction that is written out, or the
    pool's label: Label Studio exports the ids of predictions only
    (github.com/HumanSignal/label-studio/issues/5654). Later masks lie on top; 255 where there is
    none.

    Raises AnnotationError with the task and the class of the mask: no brush mask, of an unknown
    class, or damaged; for images that the pool does not have in that size; for files of more than
    512 MB. DataError as `Pool.label` does. One task at a time is in memory, beside the file's text.
    """
    for place, task in enumerate(_tasks(path), 1):
        where = f"{path}: task {place}"
        try:
            data = _checked(task, dict, "a task").get("data")
            name = _checked(_checked(data, dict, "data").get("name"), str, "data.name")
            where += f" ({name})"
            number = pool.find(name)
            if number is None:
                raise AnnotationError(f"is not in {pool.root}, split {pool.split!r}")
            results = _results(task)
            label = pool.label(number) if results is None else _painted(pool, number, results)
        except AnnotationError as error:
            raise AnnotationError(f"{where}: {error}") from error
        yield number, label


def _config(pool: Pool) -> str:
    labels = "".join(
        f'    <Label value={quoteattr(entry.name)} background="{hex_color(entry.color)}"/>\n'
        for entry in pool.labels.classes
    )
    return (
        f'<View>\n  <Image name="{_IMAGE}" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <BrushLabels name="{_BRUSH}" toName="{_IMAGE}">\n{labels}  </BrushLabels>\n</View>\n'
    )


def _task(pool: Pool, number: int, image_root: str) -> dict[str, Any]:
    label = pool.label(number)
    results = [
        {
            "id": f"class-{index}",
            "type": "brushlabels",
            "from_name": _BRUSH,
            "to_name": _IMAGE,
            "original_width": label.shape[1],
            "original_height": label.shape[0],
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": list(encode_brush(mask)),
                "brushlabels": [pool.labels.names[index]],
            },
        }
        for index, mask in masks(label)
    ]
    name = pool.file_name(number)
    return {
        # Label Studio gives images names of its own, so that ours goes beside.
        "data": {"image": image_root + quote(os.fsencode(name)), "name": name},
        "predictions": [{"model_version": "regseg", "result": results}],
    }


def _write_tasks(folder: Path, number: int, tasks: list[str]) -> None:
    (folder / f"tasks-{number}.json").write_text(f"[{_BETWEEN.join(tasks)}]\n", "utf-8")


def _tasks(path: Path) -> Iterator[Any]:
    """The elements of a JSON list, one after the other: a mask's numbers take far more as objects.

    Raises AnnotationError.
    """
    try:
        if path.stat().st_size > _MOST_BYTES_READ:
            raise AnnotationError(
                f"{path}: more than {_MOST_BYTES_READ >> 20} MB: export it in parts"
            )
        text = path.read_text("utf-8").strip()
        if not (text.startswith("[") and text.endswith("]")):
            raise AnnotationError(f"{path}: is no list of tasks: export as JSON (not JSON-MIN)")
        decoder, place = json.JSONDecoder(), _after_space(text, 1)
        while place < len(text) - 1:
            task, place = decoder.raw_decode(text, place)
            yield task
            place = _after_space(text, place)
            if place < len(text) - 1:
                if text[place] != ",":
                    raise AnnotationError(f"{path}: is damaged at character {place}")
                place = _after_space(text, place + 1)
    except AnnotationError:
        raise
    # RecursionError: lists in lists without end.
    except (ValueError, RecursionError, OSError) as error:
        raise AnnotationError(f"{path}: is damaged, or no JSON: {error}") from error


def _after_space(text: str, place: int) -> int:
    while text[place] in " \t\r\n":
        place += 1
    return place


def _results(task: dict[str, Any]) -> list[Any] | None:
    """What the annotation or prediction that counts holds; None where the file has neither."""
    annotations = [
        _checked(entry, dict, "an annotation")
        for entry in _checked(task.get("annotations", []), list, "annotations")
    ]
    # Tasks that people have skipped are "cancelled".
    made = [entry for entry in annotations if not entry.get("was_cancelled")]
    predictions = [
        _checked(entry, dict, "a prediction")
        for entry in _checked(task.get("predictions", []), list, "predictions")
        if not isinstance(entry, int)  # only its id
    ]
    if not (entries := made or predictions):
        return None
    entries.sort(key=lambda e: (bool(e.get("ground_truth")), str(e.get("updated_at", ""))))
    return _checked(entries[-1].get("result"), list, "result")


def _painted(pool: Pool, number: int, results: list[Any]) -> Image:
    canvas = Canvas(pool.shape(number))
    for result in results:
        _paint(canvas, pool, _checked(result, dict, "a result"))
    return canvas.labels


def _paint(canvas: Canvas, pool: Pool, result: dict[str, Any]) -> None:
    if result.get("type") != "brushlabels":
        raise AnnotationError(
            f"a result of type {result.get('type')!r}; the interface of {CONFIG} has brushes only"
        )
    value = _checked(result.get("value"), dict, "value")
    names = _checked(value.get("brushlabels"), list, "brushlabels")
    if len(names) != 1 or names[0] not in pool.labels.names:
        known = ", ".join(pool.labels.names)
        raise AnnotationError(f"a mask of the classes {str(names)[:80]}; it has one of {known}")
    height, width = canvas.shape
    try:
        size = result.get("original_width"), result.get("original_height")
        if size != (width, height):
            raise AnnotationError(f"of {size[0]} x {size[1]}; in the pool it is {width} x {height}")
        if result.get("image_rotation", 0) != 0:
            raise AnnotationError("of an image that was turned: turn it back")
        if value.get("format") != "rle":
            raise AnnotationError(f"of format {value.get('format')!r}; it is rle")
        # A list, for bytes makes as many zeros of a number.
        numbers = _checked(value.get("rle"), list, "rle")
        try:
            data = bytes(numbers)
        except (ValueError, TypeError) as error:
            raise AnnotationError("rle holds something other than bytes") from error
        canvas.paint(pool.labels.names.index(names[0]), decode_brush(data, (height, width)))
    except AnnotationError as error:
        raise AnnotationError(f"the mask of {names[0]}: {error}") from error


def _checked(value: Any, kind: type[_T], what: str) -> _T:
    if not isinstance(value, kind):
        raise AnnotationError(f"{what} is {type(value).__name__}, not {kind.__name__}")
    return value
