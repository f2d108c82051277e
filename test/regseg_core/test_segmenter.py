"""Segmenter: any frame in, labels of the frame's size out, in the precision that it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from regseg_core import LabelSet, Segmenter, create_model
from regseg_core.arrays import Image
from regseg_core.device import has_fast_bfloat16
from regseg_core.errors import FrameError, WeightsError


@pytest.fixture(scope="module")
def segment() -> Segmenter:
    return Segmenter()


@pytest.mark.parametrize(
    "shape",
    [
        *[(1, 1), (1, 700), (33, 50), (375, 1242)],
        pytest.param((2160, 3840), marks=pytest.mark.integration),
    ],
)
def test_any_frame_size_works(shape: tuple[int, int], segment: Segmenter) -> None:
    result = segment(np.full((*shape, 3), 90, np.uint8), confidence=True)
    assert result.confidence is not None
    for plane in (result.labels, result.confidence):
        assert plane.shape == shape and plane.dtype == np.uint8
    for image in (result.mask(), result.overlay()):
        assert image.shape == (*shape, 3) and image.dtype == np.uint8


def test_description_says_what_runs_where(segment: Segmenter) -> None:
    precision = "bfloat16" if has_fast_bfloat16() else "float32"
    if not torch.cuda.is_available():
        assert f"{precision} on cpu" in segment.description
    assert "regseg48-camvid: regseg48, 11 classes" in segment.description


def test_precisions_agree(street: Image) -> None:
    exact = Segmenter(precision="float32", device="cpu")(street, "rgb8").labels
    quick = Segmenter(precision="bfloat16", device="cpu")(street, "rgb8").labels
    assert (exact == quick).mean() > 0.99


def test_mask_and_overlay_show_the_labels(segment: Segmenter, street: Image) -> None:
    bgr = np.ascontiguousarray(street[..., ::-1])
    result = segment(bgr, "bgr8")
    assert np.array_equal(result.mask(), segment.labels.palette[result.labels])
    assert np.array_equal(result.overlay(0.0), street)
    assert np.array_equal(result.overlay(1.0), result.mask())
    half = (street.astype(int) + result.mask()) / 2
    assert np.abs(result.overlay(0.5) - half).max() <= 0.5
    assert result.confidence is None
    with pytest.raises(ValueError, match="alpha"):
        result.overlay(1.5)


def test_views_are_taken_as_they_are(segment: Segmenter, street: Image) -> None:
    expected = segment(street, "rgb8").labels
    padded = np.zeros((360, 512, 3), np.uint8)
    padded[:, :480] = street
    frozen = street.copy()
    frozen.flags.writeable = False
    for view in (padded[:, :480], frozen, np.ascontiguousarray(street[..., ::-1])[..., ::-1]):
        assert np.array_equal(segment(view, "rgb8").labels, expected)
    gray = np.ascontiguousarray(street[..., 0])
    assert np.array_equal(segment(gray, "mono8").labels, segment(gray[..., None], "mono8").labels)


@pytest.mark.parametrize(
    ("frame", "encoding", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), "holo9", "encoding 'holo9': convert to one of rgb8"),
        (np.zeros((4, 4, 3), np.float32), "rgb8", "not float32"),
        (np.zeros((4, 4, 4), np.uint8), "rgb8", r"H x W x 3, not \(4, 4, 4\)"),
        (np.zeros((4, 4), np.uint8), "bgr8", r"not \(4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), "bgr8", r"not \(0, 4, 3\)"),
        ([[1]], "mono8", "not list"),
    ],
)
def test_wrong_frames_are_explained(
    frame: Image, encoding: str, message: str, segment: Segmenter
) -> None:
    with pytest.raises(FrameError, match=message):
        segment(frame, encoding)


def test_wrong_arguments_are_explained() -> None:
    with pytest.raises(ValueError, match="precision 'half'"):
        Segmenter(precision="half")
    with pytest.raises(ValueError, match="device 'gpu'"):
        Segmenter(device="gpu")
    with pytest.raises(ValueError, match="device 'xpu': give auto, cpu, cuda"):
        Segmenter(device="xpu")
    with pytest.raises(ValueError, match="size must be"):
        Segmenter(size=(0, 4))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="finds no GPU"):
            Segmenter(device="cuda")


def test_weights_without_a_card_need_model_and_labels(tmp_path: Path, street: Image) -> None:
    path = tmp_path / "published.pth"
    torch.save({"model": create_model("exp43_decoder14", 19).state_dict()}, path)
    with pytest.raises(WeightsError, match="give model "):
        Segmenter(path)
    segment = Segmenter(path, model="exp43_decoder14", labels="cityscapes")
    assert segment.labels == LabelSet.load("cityscapes")
    assert segment(street, "rgb8").labels.max() < 19
