"""A data set is looked at before training: what is wrong is reported, what is right is counted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from layouts import folder
from PIL import ExifTags
from PIL import Image as PILImage

from regseg_core.data.labelled import DataError
from regseg_core.data.layouts import open_images
from regseg_core.data.survey import cached_survey, survey, tile_centroids

BLACK = np.zeros((6, 9, 3), np.uint8)


@pytest.mark.parametrize("workers", [0, 2])
def test_pixels_and_centroids(
    tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    first = np.zeros((6, 9), np.uint8)
    first[2:5, 3:6] = 2
    second = np.full((6, 9), 255, np.uint8)
    second[:, 8] = 1
    root = folder(tmp_path, {"train/a": (BLACK, first), "train/b": (BLACK, second)})
    [found] = survey({"train": [open_images(root, "train")]}, tile=100, workers=workers)
    assert found.pixels.tolist() == [45, 6, 9]
    assert (1, 1, 2, 8) in map(tuple, found.centroids.tolist())
    assert (0, 2, 3, 4) in map(tuple, found.centroids.tolist())
    assert len(found.centroids) == 3
    assert "train: 2 images, all 9 x 6 pixels" in capsys.readouterr().out


def test_each_tile_has_its_centroid() -> None:
    label = np.zeros((4, 6), np.uint8)
    label[0, 0] = label[3, 5] = 1
    found = tile_centroids(label, classes=2, tile=3, image=7)
    of_class_1 = sorted(map(tuple, found[found[:, 1] == 1].tolist()))
    assert of_class_1 == [(7, 1, 0, 0), (7, 1, 3, 5)]
    assert (found[:, 1] == 0).sum() == 4, "four tiles, the last row's ones are cut off"


def test_everything_wrong_is_in_one_report(tmp_path: Path) -> None:
    good = np.zeros((6, 9), np.uint8)
    root = folder(
        tmp_path,
        {f"train/{n}": (BLACK, good) for n in "abcdefgh"}
        | {f"val/{n}": (BLACK, np.full_like(good, 40 + ord(n) - 97)) for n in "abcdefg"},
    )
    (root / "labels/train/a.png").unlink()
    (root / "images/train/b.jpg").unlink()
    (root / "images/train/c.jpg").write_bytes(b"broken")
    (root / "labels/train/d.png").write_bytes(b"broken")
    folder(root, {"train/e": (BLACK, np.zeros((5, 9), np.uint8))})
    sets = {split: [open_images(root, split)] for split in ("train", "val")}
    with pytest.raises(DataError) as caught:
        survey(sets, tile=100, workers=0)
    report = str(caught.value)
    for part in (
        "train: without image or label (2):",
        "a.jpg has no label",
        "b.png has no image",
        "train: unreadable images (1):",
        "train: labels that cannot be used (1):",
        "train: sizes that differ (1):",
        "e.png is 9 x 5 and its image 9 x 6",
        "val: labels that cannot be used (7):",
        "a.png: ids [40] are not in label set",
        "and 2 more",
    ):
        assert part in report, report
    assert "ids [45]" not in report, "only the first files are named"


def test_a_photo_that_a_phone_has_turned_is_upright(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train/a": (BLACK, np.zeros((9, 6), np.uint8))})
    lying = PILImage.fromarray(np.zeros((6, 9, 3), np.uint8))
    exif = lying.getexif()
    exif[ExifTags.Base.Orientation] = 6
    lying.save(root / "images/train/a.jpg", exif=exif)
    images = open_images(root, "train")
    [found] = survey({"train": [images]}, tile=100, workers=0)
    assert found.pixels.tolist() == [54, 0, 0]
    assert images[0][0].shape == (9, 6, 3)


def test_a_survey_is_kept_until_a_file_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path / "data", {"train/a": (BLACK, np.zeros((6, 9), np.uint8))})
    sets = {"train": [open_images(root, "train")]}
    cache = tmp_path / "run" / "survey.npz"

    def looked(tile: int = 100) -> bool:
        [found] = cached_survey(sets, tile, workers=0, cache=cache)
        assert found.pixels.sum() == 54
        return "1 images" in capsys.readouterr().out

    assert looked() and not looked()
    assert looked(tile=3), "another tile is another survey"
    assert not looked(tile=3)
    os.utime(root / "labels/train/a.png", ns=(1, 1))
    assert looked(tile=3)
    sets["train"] = [open_images(root, "train", sets["train"][0].labels)]
    assert not looked(tile=3), "the same labels, named"
    yaml = (root / "labels.yaml").read_text()
    swapped = yaml.replace("path", "*").replace("grass", "path").replace("*", "grass")
    (root / "labels.yaml").write_text(swapped)
    sets["train"] = [open_images(root, "train", sets["train"][0].labels)]
    assert looked(tile=3), "other ids for the same classes"
    cache.write_bytes(cache.read_bytes()[:50])
    assert looked(tile=3), "half a file is no survey"
    assert not looked(tile=3)
