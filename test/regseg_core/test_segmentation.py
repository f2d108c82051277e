"""What can be made of labels: pictures, files, and labels of what is of interest alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from regseg_core import Frame, LabelSet, Segmentation
from regseg_core.arrays import sampled
from regseg_core.errors import ArgumentError
from regseg_core.groups import Groups
from regseg_core.labels import LabelClass
from regseg_core.outputs import OUTPUTS, Style

SET = LabelSet(
    "three",
    (
        LabelClass(0, "sky", (10, 20, 30)),
        LabelClass(7, "road", (40, 50, 60)),
        LabelClass(9, "car", (70, 80, 90)),
    ),
    ignore_id=3,
)


@pytest.fixture
def result() -> Segmentation:
    labels = np.array([[0, 7, 9], [9, 7, 0]], np.uint8)
    confidence = np.array([[255, 128, 127], [0, 254, 128]], np.uint8)
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    return Segmentation(labels, confidence, SET, Frame.of(pixels, "rgb8"))


def test_classes_of_no_interest_become_unlabelled_and_black(result: Segmentation) -> None:
    limited = result.limited(["road", "car"])
    assert limited.labels.tolist() == [[255, 7, 9], [9, 7, 255]]
    assert limited.mask()[0].tolist() == [[0, 0, 0], [40, 50, 60], [70, 80, 90]]
    assert result.labels.tolist() == [[0, 7, 9], [9, 7, 0]], "the given one is as it was"


def test_unsure_pixels_become_unlabelled(result: Segmentation) -> None:
    assert result.limited(min_confidence=0.5).labels.tolist() == [[0, 7, 255], [255, 7, 0]]
    assert result.limited(["car"], 0.5).labels.tolist() == [[255, 255, 255], [255, 255, 255]]
    assert result.limited(min_confidence=1.0).labels.tolist() == [[0, 255, 255], [255, 255, 255]]


def test_nothing_asked_changes_nothing(result: Segmentation) -> None:
    assert result.limited() is result


def test_what_cannot_be_limited_is_explained(result: Segmentation) -> None:
    with pytest.raises(ArgumentError, match="no class 'bus'; there are sky, road, car"):
        result.limited(["bus"])
    without = Segmentation(result.labels, None, SET, result.frame)
    with pytest.raises(ArgumentError, match="needs a segmentation with confidence"):
        without.limited(min_confidence=0.1)


@pytest.mark.parametrize("name", OUTPUTS)
def test_files_hold_what_the_output_shows(name: str, result: Segmentation) -> None:
    output = OUTPUTS[name]
    pixels = output.pixels(replace(result, groups=Groups.fitting(result.label_set)), Style())
    assert pixels is not None
    read = cv2.imdecode(np.frombuffer(output.codec.encode(pixels), np.uint8), -1)
    if read.ndim == 3:
        read = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
    lossless = output.codec.name == "png"
    assert np.abs(read.astype(int) - pixels).max() <= (0 if lossless else 40)
    assert lossless or name == "overlay"


@pytest.mark.parametrize("size", [(12, 8), (6, 4), (4, 8), (3, 2), (5, 4), (7, 3), (1, 1), (24, 9)])
def test_small_pixels_are_those_at_their_middle(size: tuple[int, int]) -> None:
    pixels = np.arange(12 * 8, dtype=np.uint8).reshape(8, 12)
    width, height = size
    expected = [
        [
            pixels[int((row + 0.5) * 8 / height), int((column + 0.5) * 12 / width)]
            for column in range(width)
        ]
        for row in range(height)
    ]
    found = Style(small_size=size).small(pixels)
    assert found is not None and found.dtype == np.uint8
    assert found.tolist() == np.array(expected).tolist()
    colored = sampled(np.stack([pixels, 255 - pixels], axis=-1), size)
    assert colored[..., 1].tolist() == (255 - np.array(expected)).tolist()


def test_small_outputs_have_the_size_that_was_asked_for(result: Segmentation) -> None:
    style = Style(small_size=(1, 2))
    small = OUTPUTS["label_small"].pixels(result, style)
    assert small is not None and small.tolist() == [[7], [7]]
    sure = OUTPUTS["confidence_small"].pixels(result, style)
    assert sure is not None and sure.tolist() == [[128], [254]]
    assert style.small(None) is None
    assert Style().small(result.labels) is result.labels
