"""Data sets are found by their folders and read as class indices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layouts import STREET_TO_CITYSCAPES, camvid_large, cityscapes, folder
from PIL import Image as PILImage

from regseg_core.data.labelled import DataError
from regseg_core.data.layouts import CAMVID_VOID_COLORS, CITYSCAPES_VOID_IDS, open_images
from regseg_core.data.opening import SCORED_STREETS, open_split
from regseg_core.data.synthetic import HELD_OUT_SEED, STREET, SyntheticStreets
from regseg_core.labels import CAMVID, CAMVID_PUBLISHED, CITYSCAPES, LabelSet
from regseg_core.media import write_image


def test_the_shared_set(camvid: Path) -> None:
    assert [len(open_images(camvid, split)) for split in ("train", "val")] == [367, 101]
    image, label = open_images(camvid, "val")[0]
    assert image.shape == (360, 480, 3)
    assert label.shape == (360, 480) and set(np.unique(label)) <= {*range(11), 255}


@pytest.mark.parametrize("train_ids", [False, True])
def test_cityscapes(tmp_path: Path, train_ids: bool) -> None:
    images = open_images(cityscapes(tmp_path, 3, train_ids=train_ids), "val")
    street, truth = SyntheticStreets(6, 256, 128)[4]
    assert images.labels == CITYSCAPES and len(images) == 3
    chosen = [images.title(i).endswith("bern_000001_000019_leftImg8bit.png") for i in range(3)]
    image, label = images[chosen.index(True)]
    assert np.array_equal(image, street)
    assert (label[-4:] == 255).all() and (label[:2] == 255).all()
    assert np.array_equal(label[2:-4], STREET_TO_CITYSCAPES[truth][2:-4])
    assert images.pairs[0][1].name.endswith("_labelTrainIds.png") == train_ids


def test_cityscapes_void_ids_are_the_15_that_are_not_scored() -> None:
    assert CITYSCAPES_VOID_IDS == (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)


def test_camvid_in_colours_and_in_both_orders(tmp_path: Path) -> None:
    root = camvid_large(tmp_path, 2)
    truth = SyntheticStreets(2, 192, 144)[1][1]
    ours, published = (open_images(root, "val", s)[1][1] for s in (CAMVID, CAMVID_PUBLISHED))
    assert (ours[:3] == 255).all() and np.array_equal(ours[3:], truth[3:])
    seen = np.unique(truth[3:])
    places = {"pavement": "sidewalk"}
    for index in seen:
        name = CAMVID.names[index]
        index_published = CAMVID_PUBLISHED.names.index(places.get(name, name))
        assert np.array_equal(published == index_published, ours == index)
    assert CAMVID_PUBLISHED.names[:3] == ("building", "tree", "sky")
    colors = {entry.color for entry in CAMVID.classes} | set(CAMVID_VOID_COLORS)
    assert len(colors) == 32


def test_a_folder_of_ids_of_palette_images_and_of_colours(tmp_path: Path) -> None:
    image = np.zeros((6, 9, 3), np.uint8)
    truth = np.array([[0, 1, 2] * 3] * 6, np.uint8)
    truth[0] = 255
    root = folder(tmp_path, {"train/day/a": (image, truth)})
    palette = PILImage.fromarray(truth.copy(), "P")
    palette.putpalette([9, 9, 9] * 256)
    palette.save(root / "labels/train/b.png")
    write_image(root / "images/train/b.png", image)
    labels = LabelSet.from_yaml(root / "labels.yaml")
    colors = labels.palette[truth]  # black where there is no class
    write_image(root / "labels/train/c.png", colors)
    write_image(root / "images/train/c.png", image)

    images = open_images(root, "train")
    assert images.labels.names == ("path", "grass", "person") and len(images) == 3
    for index in range(3):
        assert np.array_equal(images[index][1], truth), images.title(index)


def test_what_cannot_be_read_is_explained(tmp_path: Path) -> None:
    image = np.zeros((6, 9, 3), np.uint8)
    root = folder(
        tmp_path,
        {
            "train/a": (image, np.full((6, 9), 7, np.uint8)),
            "train/b": (image, np.full((6, 9, 3), 7, np.uint8)),
            "train/c": (image, np.zeros((6, 8), np.uint8)),
            "train/d": (image, np.zeros((6, 9), np.uint8)),
            "train/e": (image, np.zeros((6, 9), np.uint8)),
        },
    )
    (root / "images/train/d.jpg").write_bytes(b"broken")
    PILImage.fromarray(np.zeros((6, 9), np.uint16)).save(root / "labels/train/e.png")
    reasons = (
        r"a\.png: ids \[7\] are not in label set",
        r"b\.png: colours \[\[7, 7, 7\]\] are not in label set",
        r"c\.png is 8 x 6 and its image 9 x 6",
        r"d\.jpg is not a readable image",
        r"e\.png is a label image of mode I;16; store one byte a pixel",
    )
    images = open_images(root, "train")
    for index, reason in enumerate(reasons):
        with pytest.raises(DataError, match=reason):
            images[index]


def test_an_unknown_layout_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no split 'val'.*\n  Cityscapes: leftImg8bit/val/"):
        open_images(tmp_path, "val")
    with pytest.raises(DataError, match=r"nowhere is not a folder"):
        open_images(tmp_path / "nowhere", "val")
    (tmp_path / "val").mkdir()
    (tmp_path / "valannot").mkdir()
    with pytest.raises(DataError, match=r"no images in .*val"):
        open_images(tmp_path, "val")


def park(tmp_path: Path) -> tuple[Path, LabelSet]:
    """A folder whose labels are path, grass and person in equal parts, and its label set."""
    label = np.array([[0, 1, 2] * 3] * 6, np.uint8)
    root = folder(tmp_path, {"val/a": (np.zeros((6, 9, 3), np.uint8), label)})
    return root, LabelSet.from_yaml(root / "labels.yaml")


def test_the_street_is_opened_like_a_folder() -> None:
    streets = open_split(STREET, "val", CAMVID)
    assert len(streets) == SCORED_STREETS and len(open_split(STREET, "val", streets=3)) == 3
    assert streets.labels == CAMVID and streets.title(0) == f"street {HELD_OUT_SEED}"
    with pytest.raises(DataError, match=r"street .* of camvid \(sky, .* of cityscapes \("):
        open_split(STREET, "val", CITYSCAPES)


def test_data_of_other_classes_are_refused_with_both_sets_named(tmp_path: Path) -> None:
    root, _ = park(tmp_path)
    with pytest.raises(
        DataError, match=r"classes of labels \(path, grass, person\), not of camvid \(sky, building"
    ):
        open_split(root, "val", CAMVID)
    with pytest.raises(DataError, match=r"classes of cityscapes \(road, .* not of camvid \(sky, "):
        open_split(cityscapes(tmp_path / "city", 1), "val", CAMVID)
    with pytest.raises(DataError, match=r"classes of camvid \(sky, .* not of cityscapes \(road, "):
        open_split(camvid_large(tmp_path / "large", 1), "val", CITYSCAPES)


def test_the_same_classes_in_another_order_keep_the_ids_of_the_files(tmp_path: Path) -> None:
    root, own = park(tmp_path)
    wanted = LabelSet.from_dict(
        {
            "name": "other ids",
            "classes": [
                {"id": 0, "name": "person", "color": [1, 1, 1]},
                {"id": 9, "name": "path", "color": [2, 2, 2]},
                {"id": 2, "name": "grass", "color": [3, 3, 3]},
            ],
        }
    )
    images = open_split(root, "val", wanted)
    assert images.labels == wanted
    assert images[0][1][0].tolist() == [1, 2, 0] * 3, "path, grass, person"
    write_image(root / "labels/val/a.png", own.palette[[[0, 1, 2] * 3] * 6])
    assert images[0][1][0].tolist() == [1, 2, 0] * 3, "colours are the files' own too"

    mirrored = CITYSCAPES.ordered(reversed(CITYSCAPES.names))
    for train_ids in (False, True):
        city = cityscapes(tmp_path / f"city{train_ids}", 1, train_ids=train_ids)
        label, turned = (open_split(city, "val", s)[0][1] for s in (None, mirrored))
        assert np.array_equal(turned[label < 255], 18 - label[label < 255])
        assert (turned[label == 255] == 255).all()


def test_classes_that_nothing_names_are_taken_as_asked_for(tmp_path: Path) -> None:
    root, own = park(tmp_path)
    (root / "labels.yaml").unlink()
    assert open_split(root, "val", own)[0][1][0].tolist() == [0, 1, 2] * 3
    with pytest.raises(FileNotFoundError, match=r"no label set .*labels\.yaml"):
        open_split(root, "val")


def test_other_data_in_camvids_folders_say_what_their_classes_are(tmp_path: Path) -> None:
    root, own = park(tmp_path)
    for old, new in (("images/val", "val"), ("labels/val", "valannot")):
        (root / old).rename(root / new)
    assert open_split(root, "val").labels == own
    with pytest.raises(DataError, match="not of camvid"):
        open_split(root, "val", CAMVID)
