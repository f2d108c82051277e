"""Scores over one confusion matrix, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from regseg_core.evaluation.metrics import ConfusionMatrix


def matrix_of(predicted: list[int], truth: list[int], classes: int = 3) -> ConfusionMatrix:
    matrix = ConfusionMatrix(classes)
    matrix.update(torch.tensor(predicted), torch.tensor(truth))
    return matrix


def test_scores_by_hand() -> None:
    matrix = matrix_of([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 255])
    assert matrix.iou() == pytest.approx([1 / 2, 2 / 3, 1])
    assert matrix.mean_iou() == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert matrix.pixel_accuracy() == pytest.approx(4 / 5)


def test_it_is_one_matrix_not_a_mean_over_images() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(torch.tensor([0] * 9 + [1]), torch.tensor([0] * 10))
    matrix.update(torch.tensor([1]), torch.tensor([1]))
    assert matrix.iou() == pytest.approx([9 / 10, 1 / 2])


def test_a_class_that_never_occurs_is_left_out() -> None:
    matrix = matrix_of([0, 1], [0, 1])
    assert math.isnan(matrix.iou()[2])
    assert matrix.mean_iou() == 1
    assert matrix.scores(("a", "b", "c"))["iou"] == {"a": 100, "b": 100, "c": None}


def test_nothing_labelled_is_no_score() -> None:
    scores = matrix_of([0, 1], [255, 255]).scores(("a", "b", "c"))
    assert scores["mean_iou"] is None and scores["pixel_accuracy"] is None


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond 3 classes"):
        matrix_of([0], [3])
    for predicted in (3, 255, 256, 1000):
        with pytest.raises(ValueError, match="beyond 3 classes"):
            matrix_of([predicted], [0])
    assert matrix_of([255, 1], [255, 1]).counts.sum() == 1
    with pytest.raises(ValueError, match="predicted"):
        matrix_of([0, 1], [0])
