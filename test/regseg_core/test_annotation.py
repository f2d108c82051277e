"""Pools go to CVAT, Label Studio and folders and come back without a pixel changed."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PILImage
from pools import LABELS, SHAPES, files, made_label

from regseg_core.annotation.commands import (
    add_export_options,
    add_import_options,
    run_export,
    run_import,
)
from regseg_core.annotation.exchange import TOOLS, Imported, export_pool, import_pool
from regseg_core.annotation.pool import AnnotationError, Pool
from regseg_core.arrays import Image
from regseg_core.data.labelled import DataError
from regseg_core.data.layouts import open_images
from regseg_core.errors import ArgumentError
from regseg_core.files import FileError
from regseg_core.labels import LabelClass, LabelError, LabelSet


def exported(out: Path, to: str) -> list[Path]:
    """What a tool would give back of an export that nobody has touched."""
    return {
        "cvat": [out / "annotations.xml"],
        "labelstudio": sorted(out.glob("tasks-*.json")),
        "folder": [out],
    }[to]


@pytest.mark.parametrize("to", TOOLS)
def test_round_trip(pool: Path, tmp_path: Path, to: str) -> None:
    assert export_pool(pool, to, tmp_path / "out") == len(SHAPES)
    sources = exported(tmp_path / "out", to)
    back = tmp_path / "back"
    assert import_pool(sources, pool, back) == Imported(len(SHAPES), 0)
    assert files(back) == files(pool)
    # The trainer reads both.
    for root in (pool, back):
        images = open_images(root, "train")
        assert images.labels == LABELS and len(images) == len(SHAPES) and not images.unpaired
        for number in range(len(images)):
            image, label = images[number]
            assert np.array_equal(label, LABELS.to_indices(made_label(*_named(image))))
    assert {p.name for p in tmp_path.iterdir()} == {"pool", "out", "back"}


def _named(image: Image) -> tuple[str, tuple[int, int]]:
    return next(
        (name, shape) for name, shape in SHAPES.items()
        if shape == image.shape[:2] and len(name) == image[0, 0, 0]
    )  # fmt: skip


def test_labels_are_looked_at_in_colours_and_are_ids(pool: Path) -> None:
    path = pool / "labels" / "train" / "one 'class' & more.png"
    with PILImage.open(path) as stored:
        assert (np.array(stored) == 200).all()
        assert (np.array(stored.convert("RGB")) == (0, 160, 0)).all()


def test_what_a_pool_takes(tmp_path: Path) -> None:
    pool = Pool.create(tmp_path, LABELS, "mined")
    ids = np.full((4, 6), 7, np.uint8)
    jpeg = cv2.imencode(".jpg", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
    pool.add("a.1", jpeg, ids)
    assert (tmp_path / "images" / "mined" / "a.1.jpg").read_bytes() == jpeg
    assert pool.names == ("a.1",) and pool.shape(0) == (4, 6) and (pool.label(0) == 0).all()
    assert pool.find("upload/a.1.png") == 0 and pool.find("a") is None

    with pytest.raises(AnnotationError, match="already"):
        pool.add("a.1", jpeg, ids)
    for name in ("", "../b", "/b", "b/", ".b", "c\\b"):
        with pytest.raises(AnnotationError, match="no name"):
            pool.add(name, jpeg, ids)
    with pytest.raises(AnnotationError, match="6 x 3 and its image 6 x 4"):
        pool.add("b", jpeg, ids[:3])
    with pytest.raises(LabelError, match=r"ids \[8\]"):
        pool.add("b", jpeg, np.full((4, 6), 8, np.uint8))
    for data, message in ((b"GIF", "not readable"), (_turned(jpeg), "EXIF"), (_bmp(), "no JPEG")):
        with pytest.raises(AnnotationError, match=message):
            pool.add("b", data, ids)
    odd = _turned(jpeg).replace(b"\x01\x12\0\x03", b"\x01\x12\0\x02")  # a text, no number
    pool.add("odd", odd, ids)
    assert [Pool.open(tmp_path).shape(number) for number in range(2)] == [(4, 6)] * 2
    with pytest.raises(AnnotationError, match="exists"):
        Pool.create(tmp_path, LABELS, "mined")
    other = LabelSet("other", LABELS.classes[:2], 9)
    with pytest.raises(AnnotationError, match="not of other"):
        Pool.create(tmp_path, other, "more")
    Pool.create(tmp_path, LABELS, "more")
    with pytest.raises(AnnotationError, match="splits mined, more"):
        Pool.open(tmp_path)
    with pytest.raises(AnnotationError, match="is no pool"):
        Pool.open(tmp_path / "images")


def _turned(jpeg: bytes) -> bytes:
    exif = PILImage.Exif()
    exif[0x0112] = 3
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    return jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:]


def _bmp() -> bytes:
    return cv2.imencode(".bmp", np.zeros((4, 6, 3), np.uint8))[1].tobytes()


def test_a_data_set_gets_another_split_in_its_own_ids(small: Path, tmp_path: Path) -> None:
    own = LabelSet(
        "own",
        tuple(
            LabelClass(n, entry.name, entry.color) for n, entry in enumerate(LABELS.classes[::-1])
        ),
    )
    data = tmp_path / "data"
    Pool.create(data, own, "train").add(
        "x", np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)
    )
    before = files(data)
    export_pool(small, "cvat", tmp_path / "out")
    sources = [tmp_path / "out" / "annotations.xml"]
    import_pool(sources, small, data, out_split="mined")
    with PILImage.open(data / "labels" / "mined" / "a.png") as stored:
        assert (np.array(stored) == 3).all()  # "open ground" is the last one there
    after = files(data)
    assert {name: after[name] for name in before} == before and len(after) == len(before) + 2
    assert (open_images(data, "mined", LABELS)[0][1] == 0).all()

    for out, message in ((data, "train exists"), (small.parent / "file", "no data set")):
        (small.parent / "file").write_text("")
        with pytest.raises(FileError, match=message):
            import_pool(sources, small, out)
    other = tmp_path / "other"
    Pool.create(other, LabelSet("other", LABELS.classes[:2], 9), "x")
    with pytest.raises(DataError, match="classes of other"):
        import_pool(sources, small, other)
    assert files(data) == after


def test_a_folder_of_part_of_the_images_with_other_labels(pool: Path, tmp_path: Path) -> None:
    corrected = Pool.create(tmp_path / "corrected", LABELS, "done")
    base = Pool.open(pool)
    for name in ("row", "large"):
        number = base.names.index(name)
        corrected.copy(base, number, np.full_like(base.label(number), 2))
    back = tmp_path / "back"
    assert import_pool([tmp_path / "corrected"], pool, back) == Imported(2, 2)
    read = Pool.open(back)
    assert read.names == ("large", "row") and (read.label(1) == 2).all()


def test_exports_that_cannot_be(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cvat, labelstudio, folder"):
        export_pool(pool, "coco", tmp_path / "out")
    with pytest.raises(FileError, match="exists"):
        export_pool(pool, "cvat", pool)
    with pytest.raises(DataError, match="'val'"):
        export_pool(pool, "cvat", tmp_path / "out", split="val")
    label = pool / "labels" / "train" / "row.png"
    label.write_bytes(label.read_bytes()[:40])
    with pytest.raises(DataError, match=r"row\.png"):
        export_pool(pool, "labelstudio", tmp_path / "out")
    made = Pool.create(tmp_path / "bell", LABELS)
    made.add("bell \a", np.zeros((4, 6, 3), np.uint8), np.full((4, 6), 7, np.uint8))
    with pytest.raises(AnnotationError, match="no XML"):
        export_pool(tmp_path / "bell", "cvat", tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"pool", "bell"}


def test_the_commands(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exporting, importing = argparse.ArgumentParser(), argparse.ArgumentParser()
    add_export_options(exporting)
    add_import_options(importing)
    out, back = str(tmp_path / "out"), str(tmp_path / "back")
    run_export(exporting.parse_args([str(small), "--to", "labelstudio", "--out", out]))
    source = f"{out}/tasks-1.json"
    run_import(importing.parse_args([source, "--pool", str(small), "--out", back]))
    assert "1 images, 0" in capsys.readouterr().out.replace("to " + back, "").replace(" ,", ",")
