"""Data sets and their random variation."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from regseg_core.data.camvid import CamVid, DataError
from regseg_core.data.sampling import MixedSampler
from regseg_core.data.synthetic import SyntheticStreet, SyntheticStreets
from regseg_core.data.transforms import MEAN_COLOR, RandomCrop, random_augment, random_flip
from regseg_core.labels import CAMVID


def write(folder: Path, name: str, pixels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), pixels)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write(tmp_path / "train", f"{name}.jpg", np.full((8, 10, 3), (255, 0, 0), np.uint8))
        write(tmp_path / "trainannot", f"{name}.png", np.full((8, 10), 11, np.uint8))
    return tmp_path


def test_pairs_are_rgb_and_class_indices(small: Path) -> None:
    pairs = CamVid(small, "train", CAMVID)
    image, label = pairs[0]
    assert len(pairs) == 2
    assert image.shape == (8, 10, 3) and image[0, 0, 2] > 240 > 10 > image[0, 0, 0]
    assert (label == 255).all()


def test_the_shared_set(camvid: Path) -> None:
    assert (len(CamVid(camvid, "train", CAMVID)), len(CamVid(camvid, "val", CAMVID))) == (367, 101)
    image, label = CamVid(camvid, "val", CAMVID)[0]
    assert image.shape == (360, 480, 3)
    assert label.shape == (360, 480) and set(np.unique(label)) <= {*range(11), 255}


def test_broken_sets_are_explained(small: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        CamVid(small, "test", CAMVID)
    write(small / "train", "c.jpg", np.zeros((8, 10, 3), np.uint8))
    with pytest.raises(DataError, match=r"1 files lack .*c \(label\)"):
        CamVid(small, "train", CAMVID)
    write(small / "trainannot", "c.png", np.zeros((8, 9), np.uint8))
    with pytest.raises(DataError, match="9 x 8 and its image 10 x 8"):
        CamVid(small, "train", CAMVID)[2]
    write(small / "trainannot", "c.png", np.full((8, 10), 99, np.uint8))
    with pytest.raises(DataError, match=r"c\.png: ids \[99\]"):
        CamVid(small, "train", CAMVID)[2]
    (small / "train" / "c.jpg").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"c\.jpg is not a readable image"):
        CamVid(small, "train", CAMVID)[2]


@pytest.mark.parametrize("size", [(20, 30), (100, 80)])
def test_crops_have_one_size_and_move_image_and_label_alike(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    image[:, size[1] // 2 :] = 200
    label = (image[..., 0] > 100).astype(np.uint8)
    crop = RandomCrop(40, 60, short_side=(16, 90))
    padded = 0
    for seed in range(30):
        out, out_label = crop(image, label, np.random.default_rng(seed))
        assert out.shape == (40, 60, 3) and out_label.shape == (40, 60)
        ignored = out_label == 255
        padded += ignored.any()
        assert (out[ignored] == MEAN_COLOR).all()
        agree = (out[..., 0] > 100) == (out_label == 1)
        assert agree[~ignored].mean() > 0.9
    assert 0 < padded < 30


def test_flips_come_half_of_the_time() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    label = np.array([[1, 2], [3, 4]], np.uint8)
    flips = 0
    for seed in range(200):
        out, out_label = random_flip(image, label, np.random.default_rng(seed))
        flipped = bool(out_label[0, 0] == 2)
        assert np.array_equal(out, image[:, ::-1] if flipped else image)
        flips += flipped
    assert 70 < flips < 130


def test_augmentation_changes_the_picture_and_rotates_the_label_by_nearest_neighbour() -> None:
    image, label = SyntheticStreet(120, 90).frame(1.0)
    rotated = 0
    for seed in range(40):
        out, out_label = random_augment(image, label, np.random.default_rng(seed))
        assert out.shape == image.shape and out.dtype == np.uint8
        assert set(np.unique(out_label)) <= {*np.unique(label), 255}
        rotated += not np.array_equal(out_label, label)
        assert not np.array_equal(out, image)
    # Two of seven operations: one of them is the rotation in 2/7 of all cases.
    assert 4 <= rotated <= 20


def test_the_street_is_deterministic_moves_and_holds_every_class() -> None:
    street = SyntheticStreet()
    image, label = street.frame(0.0)
    again, _ = SyntheticStreet().frame(0.0)
    later, _ = street.frame(1.0)
    assert image.shape == (360, 480, 3) and label.shape == (360, 480)
    assert np.array_equal(image, again) and (image != later).mean() > 0.3
    seen = {index for time in range(30) for index in np.unique(street.frame(time)[1]).tolist()}
    assert seen == set(range(11))
    with pytest.raises(ValueError, match="32 x 32"):
        SyntheticStreet(16, 16)


def test_streets_differ() -> None:
    streets = SyntheticStreets(3)
    assert len(streets) == 3
    assert not np.array_equal(streets[0][1], streets[1][1])
    with pytest.raises(IndexError):
        streets[3]


def test_an_epoch_holds_every_image_and_some_of_the_pool() -> None:
    sampler = MixedSampler(whole=10, pool=50, extra=4)
    first, second = list(sampler), list(sampler)
    assert len(first) == len(sampler) == 14
    assert sorted(i for i in first if i < 10) == list(range(10))
    assert len({i for i in first if 10 <= i < 60}) == 4
    assert first != second
