"""Epochs: what they show, and that they are the same on any number of processes."""

from __future__ import annotations

from collections import Counter

import numpy as np

from regseg_core.data.sampling import EpochSampler

#: Class 0 in every image, class 1 in one, class 3 in two; class 2 nowhere.
CENTROIDS = np.array(
    [(image, 0, 5, image) for image in range(90)] + [(7, 1, 1, 2), (8, 3, 3, 4), (9, 3, 5, 6)],
    np.int32,
)


def test_an_epoch_without_class_uniform_sampling_shows_every_image_once() -> None:
    sampler = EpochSampler(10, 2, seed=0, pool=50, extra=4)
    first = list(sampler)
    assert len(first) == len(sampler) == 14 and sampler.steps == 7
    assert sorted(draw.image for draw in first if draw.image < 10) == list(range(10))
    assert len({draw.image for draw in first if 10 <= draw.image < 60}) == 4
    assert all(draw.centre is None for draw in first)


def test_half_of_an_epoch_shows_every_class_equally_often() -> None:
    sampler = EpochSampler(90, 1, seed=3, uniform=0.5, centroids=CENTROIDS)
    draws = list(sampler)
    assert len(draws) == 90
    known = {(image, row, column): c for image, c, row, column in CENTROIDS.tolist()}
    classes = Counter(
        known[(draw.image, *draw.centre)] for draw in draws if draw.centre is not None
    )
    assert classes == {0: 15, 1: 15, 3: 15}
    others = [draw.image for draw in draws if draw.centre is None]
    assert len(others) == len(set(others)) == 45, "different images"
    assert len({d.image for d in draws if d.centre and d.image in (8, 9)}) == 2


def test_epochs_differ_and_come_again() -> None:
    sampler = EpochSampler(90, 4, seed=3, uniform=0.5, centroids=CENTROIDS)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) == first != second
    other = EpochSampler(90, 4, seed=4, uniform=0.5, centroids=CENTROIDS)
    assert list(other) != first
    assert len({draw.seed for draw in [*first, *second, *other]}) == 3 * 88


def test_processes_share_each_batch() -> None:
    whole = list(EpochSampler(50, 8, seed=1))
    parts = [list(EpochSampler(50, 8, seed=1, rank=rank, world=2)) for rank in (0, 1)]
    assert [len(part) for part in parts] == [24, 24] and len(whole) == 48
    for step in range(6):
        batch = whole[8 * step : 8 * step + 8]
        assert parts[0][4 * step : 4 * step + 4] + parts[1][4 * step : 4 * step + 4] == batch
