"""How unsure the network is of frames, and how alike two are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from regseg_core import Segmenter
from regseg_core.arrays import Image
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.errors import ArgumentError
from regseg_core.frame import Frame
from regseg_core.media import MediaError
from regseg_core.mining.candidate import Candidate
from regseg_core.mining.choosing import choose
from regseg_core.mining.likeness import MIN_DISTANCE, describe, distances
from regseg_core.mining.scoring import score
from regseg_core.mining.seen import Seen, Viewer, small_gray
from regseg_core.mining.uncertainty import UNCERTAINTIES, entropy, margin, temporal

CLASSES = 5


def logits_of(probabilities: list[list[float]]) -> Tensor:
    """Rows of probabilities, one row a pixel -> C x 1 x pixels."""
    return torch.tensor(probabilities).clamp(min=1e-30).log().T[:, None]


def seen(logits: Tensor, gray: Image | None = None, time_ns: int = 0) -> Seen:
    return Seen(time_ns, logits, np.zeros((32, 48), np.uint8) if gray is None else gray)


def as_seen(image: Image, labels: Image, time_ns: int = 0) -> Seen:
    """A frame whose labels are certain."""
    certain = 20 * F.one_hot(torch.from_numpy(labels).long(), 11).permute(2, 0, 1).float()
    return Seen(time_ns, certain, small_gray(Frame.of(image, "rgb8")))


@pytest.mark.parametrize(
    ("pixels", "entropy_of", "margin_of"),
    [
        ([[0.25] * 4], 1.0, 1.0),
        ([[1.0, 0, 0, 0]], 0.0, 0.0),
        ([[0.5, 0.5, 0, 0]], 0.5, 1.0),
        ([[0.25] * 4, [1.0, 0, 0, 0]], 0.5, 0.5),
        ([[0.7, 0.1, 0.1, 0.1]], (0.7 * np.log(1 / 0.7) + 0.3 * np.log(10)) / np.log(4), 0.4),
        ([[1.0], [1.0]], 0.0, 0.0),  # one class alone
    ],
)
def test_measures_of_known_probabilities(
    pixels: list[list[float]], entropy_of: float, margin_of: float
) -> None:
    frame = seen(logits_of(pixels))
    assert entropy(frame) == pytest.approx(entropy_of, abs=1e-5)
    assert margin(frame) == pytest.approx(margin_of, abs=1e-5)


def enlarged(image: Image, width: int, height: int) -> Image:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def world() -> tuple[Image, Image]:
    """A textured picture, larger than a frame, and class indices in large patches on it."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    labels = rng.integers(0, CLASSES, (5, 7)).astype(np.uint8)
    image = enlarged(coarse, 400, 300)
    return image, np.repeat(np.repeat(labels, 60, 0), 60, 1)[:300, :400]


def part(whole: Image, left: int, top: int) -> Image:
    return whole[top : top + 240, left : left + 320]


def test_a_moving_camera_that_labels_consistently_has_not_changed_its_mind() -> None:
    image, labels = world()
    before = as_seen(part(image, 10, 10), part(labels, 10, 10))
    after = as_seen(part(image, 22, 18), part(labels, 22, 18), 10**8)
    assert np.mean(before.labels != after.labels) > 0.1
    assert temporal(after, before) == pytest.approx(0, abs=0.005)


def test_on_a_street_with_traffic_true_labels_hardly_change() -> None:
    street = SyntheticStreet(320, 240, seed=3)
    frames = [as_seen(*street.frame(k / 15), k * 10**9 // 15) for k in range(4)]
    for before, after in pairwise(frames):
        assert 0 <= (temporal(after, before) or 0) < 0.01


def test_what_a_moving_thing_uncovers_does_not_count() -> None:
    image, _ = world()
    thing = np.random.default_rng(1).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    thing = enlarged(thing, 100, 100)
    frames = []
    for left in (80, 96):
        scene, truth = part(image, 0, 0).copy(), np.zeros((240, 320), np.uint8)
        scene[60:160, left : left + 100], truth[60:160, left : left + 100] = thing, 9
        frames.append(as_seen(scene, truth, left))
    changed = np.mean(frames[0].labels != frames[1].labels)
    assert changed > 0.03
    assert (temporal(frames[1], frames[0]) or 0) < changed / 5


def test_flicker_scores_high_and_by_its_share() -> None:
    image, labels = world()
    other = ((labels + 1) % CLASSES).astype(np.uint8)
    half = np.where(np.arange(400) < 160, labels, other)
    before = as_seen(part(image, 0, 0), part(labels, 0, 0))
    for labelled, share in ((other, 1.0), (half, 0.5)):
        after = as_seen(part(image, 0, 0), part(labelled, 0, 0), 10**8)
        # At the patches' borders some neighbour's class is now right.
        assert 0.85 * share < (temporal(after, before) or 0) <= share + 0.01


def test_without_a_neighbour_to_compare_with_there_is_no_score() -> None:
    image, labels = world()
    frame = as_seen(part(image, 0, 0), part(labels, 0, 0), 10**9)
    assert temporal(frame, None) is None
    for earlier, has_score in ((0, True), (-1, False), (10**9, False), (2 * 10**9, False)):
        before = replace(frame, time_ns=earlier)
        assert (temporal(frame, before) is not None) == has_score
    assert temporal(frame, replace(frame, time_ns=0, gray=frame.gray[:100])) is None
    cut = [as_seen(*SyntheticStreet(seed=seed).frame(seed), seed) for seed in (3, 4)]
    assert temporal(cut[1], cut[0]) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (720, 1280), (1280, 720)])
def test_frames_of_any_shape_can_be_followed_and_described(shape: tuple[int, int]) -> None:
    gray = small_gray(Frame.of(np.full(shape, 99, np.uint8), "mono8"))
    assert min(gray.shape) >= 32 and max(gray.shape) == 160
    frame = seen(torch.zeros(CLASSES, 8, 8), gray, 1)
    assert temporal(frame, replace(frame, time_ns=0)) == 0
    assert np.isfinite(describe(frame)).all()


def far(one: Seen, other: Seen) -> float:
    rows = [describe(frame).astype(np.float32)[None] for frame in (one, other)]
    return float(distances(*rows)[0, 0])


def test_the_same_frame_is_near_in_any_light_and_another_street_far() -> None:
    street, other = SyntheticStreet(seed=1), SyntheticStreet(seed=2)
    image, labels = street.frame(0.0)
    first = as_seen(image, labels)
    assert far(first, first) < 0.001
    noisy = image * 0.6 + np.random.default_rng(0).normal(0, 10, image.shape)
    assert far(first, as_seen(noisy.clip(0, 255).astype(np.uint8), labels)) < MIN_DISTANCE / 2
    assert far(first, as_seen(*street.frame(1 / 15))) < MIN_DISTANCE
    assert far(first, as_seen(*other.frame(7.0))) > MIN_DISTANCE
    opposite = as_seen(255 - image, np.full_like(labels, 10))
    assert far(first, opposite) <= 1


@pytest.fixture(scope="module")
def segment() -> Segmenter:
    return Segmenter(device="cpu", backend="eager", cache=None, size=(180, 240))


def drive(bag: str, seed: int, count: int) -> Iterator[tuple[Candidate, Frame]]:
    """Two cameras in turns, 10 Hz, of which one is mounted upside down."""
    streets = [SyntheticStreet(240, 180, seed), SyntheticStreet(240, 180, seed + 1)]
    for step in range(count):
        for camera, street in zip(("/front", "/rear"), streets, strict=True):
            image = street.frame(step / 10)[0]
            upside_down = camera == "/rear"
            frame = (
                Frame.of(np.ascontiguousarray(image[::-1, ::-1]), "rgb8", 180)
                if upside_down
                else Frame.of(image[..., ::-1], "bgr8")
            )
            yield Candidate(bag, camera, step * 10**8), frame


@pytest.mark.integration
def test_the_network_is_the_segmenters(segment: Segmenter) -> None:
    frames = [frame for _, frame in drive("a", 1, 2)]
    frames.append(Frame.of(SyntheticStreet(97, 64).frame(0)[0], "rgb8", 90))
    for frame, logits in zip(frames, Viewer(segment).logits(frames), strict=True):
        assert logits.dtype == torch.float32 and len(logits) == len(segment.labels)
        shape = (frame.height, frame.width)
        labels = F.interpolate(logits[None], size=shape, mode="bilinear")[0].argmax(0)
        assert np.mean(segment.segment([frame])[0].labels == labels.numpy()) > 0.999


@pytest.mark.integration
@pytest.mark.parametrize("by", UNCERTAINTIES)
def test_streets_are_mined(by: str, segment: Segmenter) -> None:
    stream = [entry for bag, seed in (("a", 1), ("b", 50)) for entry in drive(bag, seed, 4)]
    rows = list(score(segment, stream, by))
    assert [entry.candidate for entry in rows] == [candidate for candidate, _ in stream]
    scores = [entry.score for entry in rows]
    first = [0, 1, 8, 9]  # of each camera of each bag
    for place, value in enumerate(scores):
        assert (value is None) == (by == "temporal" and place in first)
        assert value is None or 0 <= value < 0.5
    found = choose(rows, 4)
    # Neighbours of a camera are 1/10 s apart: one of each is enough.
    assert {(e.candidate.bag, e.candidate.camera) for e in found} == {
        (bag, camera) for bag in "ab" for camera in ("/front", "/rear")
    }
    assert next(score(segment, stream[:2], by)).score == scores[0]


@pytest.mark.integration
def test_noise_is_what_it_is_unsure_of(segment: Segmenter) -> None:
    street = SyntheticStreet(240, 180).frame(0.0)[0]
    noise = np.random.default_rng(0).integers(0, 256, street.shape).astype(np.uint8)
    mixed = cv2.addWeighted(street, 0.4, noise, 0.6, 0).astype(np.uint8)
    for by in ("entropy", "margin"):
        stream = [
            (Candidate("a", "/front", number), Frame.of(image, "rgb8"))
            for number, image in enumerate((street, mixed))
        ]
        clear, blurred = (entry.score or 0 for entry in score(segment, stream, by))
        assert blurred > 1.5 * clear


@pytest.mark.integration
def test_what_cannot_be_read_comes_after_the_scores_before_it(segment: Segmenter) -> None:
    def damaged() -> Iterator[tuple[Candidate, Frame]]:
        yield from drive("a", 1, 1)
        raise MediaError("the bag is cut off")

    found: list[str] = []
    with pytest.raises(MediaError, match="cut off"):
        found.extend(entry.candidate.camera for entry in score(segment, damaged(), "entropy"))
    assert found == ["/front", "/rear"]
    with pytest.raises(ArgumentError, match="entropy, margin, temporal"):
        score(segment, [], "boredom")
