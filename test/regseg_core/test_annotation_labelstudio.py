"""What Label Studio is given, and what people make of it there, damaged files too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pools import SHAPES, imported

from regseg_core.annotation.brush import encode_brush
from regseg_core.annotation.exchange import Imported, export_pool, import_pool
from regseg_core.annotation.labelstudio import write_labelstudio
from regseg_core.annotation.pool import AnnotationError, Pool
from regseg_core.arrays import Image


def test_label_studio_gets_an_interface_and_predictions(pool: Path, tmp_path: Path) -> None:
    export_pool(pool, "labelstudio", tmp_path / "out")
    config = ElementTree.parse(tmp_path / "out" / "labels.xml").getroot()
    assert [
        (label.attrib["value"], label.attrib["background"])
        for label in config.iterfind("BrushLabels/Label")
    ][:2] == [("open ground", "#804080"), ('Straße & "Weg" <1>', "#00a000")]
    tasks = json.loads((tmp_path / "out" / "tasks-1.json").read_text("utf-8"))
    task = next(task for task in tasks if task["data"]["name"] == "Hof Süd/0001.png")
    assert task["data"]["image"] == (
        "/data/local-files/?d=pool/images/train/Hof%20S%C3%BCd/0001.png"
    )
    result = task["predictions"][0]["result"][0]
    assert (result["original_width"], result["original_height"]) == (17, 23)
    brush = config.find("BrushLabels")
    assert brush is not None
    assert result["from_name"] == brush.attrib["name"]
    assert result["to_name"] == brush.attrib["toName"] == config.find("Image").attrib["name"]  # type: ignore[union-attr]
    assert result["type"] == "brushlabels" and result["value"]["format"] == "rle"


def test_tasks_are_divided_among_files_of_a_size(pool: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_labelstudio(Pool.open(pool), tmp_path / "out", most_bytes=5000)
    parts = sorted((tmp_path / "out").glob("tasks-*.json"))
    assert len(parts) > 1
    for part in parts:
        assert part.stat().st_size <= 5003 or len(json.loads(part.read_text("utf-8"))) == 1
    assert import_pool(parts, pool, tmp_path / "back") == Imported(len(SHAPES), 0)


def test_images_may_be_anywhere(pool: Path, tmp_path: Path) -> None:
    export_pool(pool, "labelstudio", tmp_path / "s3", image_root="s3://bucket/")
    tasks = json.loads((tmp_path / "s3" / "tasks-1.json").read_text("utf-8"))
    assert tasks[0]["data"]["image"].startswith("s3://bucket/")


def task(*names: str, **other: object) -> dict[str, Any]:
    """A Label Studio task with masks that cover the whole image."""
    rle = list(encode_brush(np.full((4, 6), True)))
    result = [
        {
            "type": "brushlabels",
            "original_width": 6,
            "original_height": 4,
            "value": {"format": "rle", "rle": rle, "brushlabels": [name]},
            **other,
        }
        for name in names
    ]
    return {"data": {"name": "a.png"}, "annotations": [{"result": result}]}


def from_labelstudio(small: Path, *tasks: object) -> Image:
    path = small.parent / "a.json"
    path.write_text(json.dumps(tasks, indent=1))
    return imported(small, path)


def test_annotations_go_before_predictions(small: Path) -> None:
    both = task("open ground", "pole")
    both["predictions"] = task("人")["annotations"]
    assert (from_labelstudio(small, both) == 3).all()


def test_the_last_annotation_counts_or_the_truth(small: Path) -> None:
    def several(*entries: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        made = [{**task(name)["annotations"][0], **extra} for name, extra in entries]
        return {"data": {"name": "a.png"}, "annotations": made}

    skipped = ("open ground", {"was_cancelled": True, "updated_at": "2026-09-01"})
    new, old = ("pole", {"updated_at": "2026-02-03"}), ("人", {"updated_at": "2026-01-09"})
    assert (from_labelstudio(small, several(new, old, skipped)) == 3).all()


def test_ground_truth_counts(small: Path) -> None:
    chosen = task("人")["annotations"][0] | {"ground_truth": True}
    last = task("pole")["annotations"][0] | {"updated_at": "2026-02-03"}
    tasks = {"data": {"name": "a.png"}, "annotations": [chosen, last]}
    assert (from_labelstudio(small, tasks) == 2).all()


@pytest.mark.parametrize("predictions", [{"predictions": [286]}, {"predictions": []}, {}])
def test_a_skipped_image_keeps_the_pools_label(
    pool: Path, tmp_path: Path, predictions: dict[str, Any]
) -> None:
    """Label Studio's export has the ids of predictions, not what they hold."""
    export_pool(pool, "labelstudio", tmp_path / "out")
    tasks = json.loads((tmp_path / "out" / "tasks-1.json").read_text("utf-8"))
    for entry in tasks:
        (prediction,) = entry.pop("predictions")
        entry["annotations"] = [{"result": [], "was_cancelled": True}]
        entry.update(predictions)
        if entry["data"]["name"] == "row.png":  # the one that somebody has corrected
            erased = {"result": prediction["result"][1:], "was_cancelled": False}
            entry["annotations"].insert(0, erased)
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    assert import_pool([path], pool, tmp_path / "back") == Imported(len(SHAPES), 1)
    before, after = Pool.open(pool), Pool.open(tmp_path / "back")
    changed = [
        name
        for number, name in enumerate(before.names)
        if not np.array_equal(before.label(number), after.label(number))
    ]
    assert changed == ["row"]


def test_an_image_that_was_erased_has_no_classes(small: Path) -> None:
    made = {"data": {"name": "a.png"}, "annotations": [{"result": []}], "predictions": [286]}
    assert (from_labelstudio(small, made) == 255).all()


def test_predictions_count_where_they_are_written_out(small: Path) -> None:
    made = {"data": {"name": "a.png"}, "predictions": [286, task("pole")["annotations"][0]]}
    assert (from_labelstudio(small, made) == 3).all()


@pytest.mark.parametrize(
    "made, message",
    [
        (task("tree"), r"task 1 \(a.png\): a mask of the classes \['tree'\]; it has one of open"),
        (task("pole", type="rectanglelabels"), "'rectanglelabels'; the interface of labels.xml"),
        (task("pole", original_width=7), "the mask of pole: of 7 x 4; in the pool it is 6 x 4"),
        (task("pole", image_rotation=90), "turned"),
        (task("pole", value={"brushlabels": ["pole"], "format": "rle", "rle": 10**12}), "is int"),
        (task("pole", value={"brushlabels": ["pole"], "format": "rle", "rle": [256]}), "bytes"),
        (task("pole", value={"brushlabels": ["pole"], "format": "rle", "rle": [0]}), "words"),
        (task("pole", value={"brushlabels": ["pole"], "format": "png"}), "format 'png'"),
        ({"data": {"name": "b.png"}}, "is not in"),
        ({"data": {"name": "a.png"}, "predictions": ["x"]}, "a prediction is str"),
        ({"data": {"image": "a.png"}}, "data.name is NoneType"),
        ({"data": {"name": "a.png"}, "annotations": [3]}, "an annotation is int"),
        (3, "a task is int"),
    ],
)
def test_tasks_that_cannot_be_used(small: Path, made: object, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        from_labelstudio(small, made)


@pytest.mark.parametrize(
    "text", ["", "{}", "[", "[1", "[{}", "[{} {}]", "[" * 100_000 + "]", "[1e]", "[NaN]", "\udcff"]
)
def test_json_that_is_damaged_or_hostile(small: Path, text: str) -> None:
    path = small.parent / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(AnnotationError, match=r"a\.json"):
        imported(small, path)
