"""The shipped weights see."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from regseg_core import Segmenter
from regseg_core.data.layouts import open_images
from regseg_core.data.synthetic import HELD_OUT_SEED, SyntheticStreet, SyntheticStreets
from regseg_core.evaluation.metrics import ConfusionMatrix
from regseg_core.evaluation.scoring import SingleView, evaluate

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def segment() -> Segmenter:
    return Segmenter()


def test_val_frames_are_segmented(segment: Segmenter, camvid: Path) -> None:
    scores = evaluate(
        SingleView(segment), open_images(camvid, "val", segment.labels), segment.labels
    )
    assert scores["images"] == 101
    assert scores["mean_iou"] >= 60


def test_streets_never_trained_on_are_segmented(segment: Segmenter) -> None:
    streets = SyntheticStreets(20, first_seed=HELD_OUT_SEED)
    assert evaluate(SingleView(segment), streets, segment.labels)["mean_iou"] >= 80


def test_the_demo_street_is_segmented(segment: Segmenter) -> None:
    matrix = ConfusionMatrix(len(segment.labels))
    street = SyntheticStreet()
    for second in range(0, 10):
        image, truth = street.frame(float(second))
        predicted = segment(image, "rgb8").labels
        matrix.update(torch.from_numpy(predicted), torch.from_numpy(truth))
    assert 100 * matrix.mean_iou() >= 80
