"""Data sets and their random variation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageEnhance, ImageOps

from regseg_core.data import operations
from regseg_core.data.synthetic import SyntheticStreet, SyntheticStreets
from regseg_core.data.transforms import RandomCrop, random_augment, random_flip, random_light


@pytest.mark.parametrize("size", [(20, 30), (100, 80)])
def test_crops_have_one_size_and_move_image_and_label_alike(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    image[:, size[1] // 2 :] = 200
    label = (image[..., 0] > 100).astype(np.uint8)
    crop = RandomCrop(40, 60, short_side=(16, 90), fill=FILL)
    padded = 0
    for seed in range(30):
        out, out_label = crop(image, label, np.random.default_rng(seed))
        assert out.shape == (40, 60, 3) and out_label.shape == (40, 60)
        ignored = out_label == 255
        padded += ignored.any()
        assert (out[ignored] == FILL).all()
        agree = (out[..., 0] > 100) == (out_label == 1)
        assert agree[~ignored].mean() > 0.9
    assert 0 < padded < 30


#: Of padding.
FILL = (123, 116, 103)


def test_a_crop_shows_what_resizing_the_whole_image_would() -> None:
    image, label = SyntheticStreet(320, 240).frame(1.0)
    for seed in range(12):
        crop = RandomCrop(100, 140, short_side=(150, 400), fill=FILL)
        out, out_label = crop(image, label, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        scale = int(rng.integers(150, 401)) / 240
        size = round(320 * scale), round(240 * scale)
        top = int(rng.integers(0, size[1] - 100 + 1))
        left = int(rng.integers(0, size[0] - 140 + 1))
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        whole = cv2.resize(image, size, interpolation=smooth)[top : top + 100, left : left + 140]
        whole_label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
        assert np.abs(out.astype(int) - whole).mean() < 4, "less than a pixel apart"
        same = out_label == whole_label[top : top + 100, left : left + 140]
        assert same.mean() > 0.95


@pytest.mark.parametrize("short", [23, 37, 50])
def test_labels_lie_exactly_under_the_image(short: int) -> None:
    image = np.zeros((100, 160, 3), np.uint8)
    image[:, 80:] = 255
    label = (image[..., 0] > 0).astype(np.uint8)
    out, out_label = RandomCrop(short, 160, (short, short), FILL)(
        image, label, np.random.default_rng(0)
    )
    known = out_label[0] != 255
    values, labels = out[0, known, 0], out_label[0, known]
    clear = np.abs(values.astype(int) - 127) > 40  # the edge itself may cut a pixel in two
    assert ((values > 127) == (labels == 1))[clear].all() and clear.sum() >= known.sum() - 1


def test_a_crop_is_centred_on_a_place_as_far_as_the_image_reaches() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    label = np.zeros((200, 300), np.uint8)
    label[118:123, 148:153] = 1
    crop = RandomCrop(60, 80, short_side=(150, 300), fill=FILL)
    for seed in range(10):
        _, out = crop(image, label, np.random.default_rng(seed), centre=(120, 150))
        rows, columns = np.nonzero(out == 1)
        assert abs(rows.mean() - 30) < 2 and abs(columns.mean() - 40) < 2
    _, out = crop(image, label, np.random.default_rng(0), centre=(0, 299))
    assert (out == 255).sum() == 0, "a corner is inside the image"


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
        out, out_label = random_augment(image, label, np.random.default_rng(seed), FILL)
        assert out.shape == image.shape and out.dtype == np.uint8
        assert set(np.unique(out_label)) <= {*np.unique(label), 255}
        rotated += not np.array_equal(out_label, label)
        assert not np.array_equal(out, image)
    # Two of seven operations: one of them is the rotation in 2/7 of all cases.
    assert 4 <= rotated <= 20


def test_light_goes_both_ways_as_far_as_asked() -> None:
    grey = np.full((20, 30, 3), 127, np.uint8)  # the middle, which gamma leaves where it is
    for strength, least, greatest in ((0.7, 55, 255), (0.1, 112, 143)):
        means = [
            random_light(grey, np.random.default_rng(seed), strength).mean() for seed in range(200)
        ]
        assert least <= min(means) < (least + 127) / 2 and (greatest + 127) / 2 < max(means)
        assert max(means) <= greatest


def test_light_keeps_the_order_of_grey_values_and_has_a_way_without_noise() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    clean = 0
    for seed in range(40):
        lit = random_light(ramp, np.random.default_rng(seed), 0.6)
        assert lit.dtype == np.uint8 and lit.shape == ramp.shape
        clean += bool((np.diff(lit.astype(int), axis=1) >= 0).all())
        smooth = cv2.blur(lit[..., 0], (31, 1))[0, 16:-16].astype(int)
        assert (np.diff(smooth) >= -2).all(), "only noise goes back"
        assert not np.array_equal(lit, ramp)
    assert 10 < clean < 30


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


@pytest.mark.parametrize("factor", [0.82, 1.18, 1.9])
@pytest.mark.parametrize("name", ["color", "contrast", "brightness", "sharpness"])
def test_operations_are_pillows(name: str, factor: float) -> None:
    image, _ = SyntheticStreet(120, 90).frame(1.0)
    enhancer = getattr(ImageEnhance, name.capitalize())
    expected = np.asarray(enhancer(PILImage.fromarray(image)).enhance(factor)).astype(int)
    found = getattr(operations, name)(image, factor)
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_histogram_operations_are_pillows(name: str) -> None:
    image, _ = SyntheticStreet(120, 90).frame(1.0)
    image = (image // 2 + 30).astype(np.uint8)
    plain = np.full_like(image, 7)
    for pixels in (image, plain):
        expected = np.asarray(getattr(ImageOps, name)(PILImage.fromarray(pixels))).astype(int)
        assert np.abs(getattr(operations, name)(pixels) - expected).max() <= 1


@pytest.mark.parametrize("degrees", [-6.0, 6.0, 30.0])
def test_rotation_is_pillows(degrees: float) -> None:
    image, label = SyntheticStreet(120, 90).frame(1.0)
    expected = PILImage.fromarray(image).rotate(
        degrees, PILImage.Resampling.BILINEAR, fillcolor=FILL
    )
    found = operations.rotate(image, degrees, FILL, smooth=True)
    inner = np.s_[20:-20, 20:-20]
    assert np.abs(found[inner].astype(int) - np.asarray(expected)[inner]).mean() < 1
    expected = PILImage.fromarray(label).rotate(degrees, fillcolor=255)
    found = operations.rotate(label, degrees, (255,), smooth=False)
    assert (found == np.asarray(expected)).mean() > 0.97
    assert (found[0, 0] == 255) and (found[:2] == 255).any()
