"""A frame of a turned camera gets the labels of the upright image, where its own pixels are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from jobs import CPU, job, opened

from regseg_core import Frame, Segmenter
from regseg_core.arrays import Image
from regseg_core.backends.eager import Eager
from regseg_core.backends.openvino import OpenVino
from regseg_core.backends.spec import GraphSpec
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import ArgumentError, FrameError
from regseg_core.rotation import ROTATIONS, turn

TURNED = ROTATIONS[1:]
CLOCKWISE = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


def by_hand(pixels: Image, degrees: int) -> Image:
    degrees %= 360
    turned = cv2.rotate(pixels, CLOCKWISE[degrees]) if degrees else pixels
    return turned.astype(np.uint8, copy=False)


def exact(size: tuple[int, int] | None = None) -> Segmenter:
    return Segmenter(size=size, precision="float32", device="cpu", backend="eager", cache=None)


@pytest.fixture(scope="module")
def segment() -> Segmenter:
    return exact()


@pytest.fixture
def scene(camvid: Path) -> Image:
    """An upright BGR image, 360 x 480."""
    path = sorted((camvid / "val").glob("*.jpg"))[30]
    return cv2.imread(str(path)).astype(np.uint8)


@pytest.mark.parametrize("degrees", TURNED)
def test_turns_as_opencv_does(degrees: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    planes = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)
    turned = turn(planes, degrees)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(turned, by_hand(image, degrees))


@pytest.mark.parametrize("size", [None, (180, 240)])
@pytest.mark.parametrize("degrees", TURNED)
def test_labels_are_those_of_the_upright_image_turned_back(
    degrees: int, size: tuple[int, int] | None, scene: Image
) -> None:
    # Sizes that are no multiple of the network's stride show an error of a pixel.
    scene = scene[:350, :470]
    segment = exact(size)
    mounted = by_hand(scene, -degrees)
    (result,) = segment.segment([Frame.of(mounted, rotation=degrees)], confidence=True)
    upright = segment(scene, confidence=True)
    assert result.confidence is not None and upright.confidence is not None
    assert (by_hand(result.labels, degrees) == upright.labels).mean() > 0.9999
    difference = by_hand(result.confidence, degrees).astype(int) - upright.confidence
    assert np.abs(difference).max() <= 1
    assert result.overlay().shape == mounted.shape
    if degrees == 180:
        assert (segment(mounted).labels == result.labels).mean() < 0.9, "it does make a difference"


def test_turned_yuv_frames(segment: Segmenter, scene: Image) -> None:
    pixels = ENCODINGS["nv12"].from_rgb(by_hand(scene, 90))
    turned = segment.segment([Frame.of(pixels, "nv12", 270)])[0]
    rgb = segment.segment([Frame.of(ENCODINGS["nv12"].to_rgb(pixels), "rgb8", 270)])[0]
    assert (turned.labels == rgb.labels).mean() >= 0.999


def test_frames_of_one_size_and_other_rotations_are_kept_apart(
    segment: Segmenter, scene: Image
) -> None:
    frames = [Frame.of(scene), Frame.of(by_hand(scene, 180), rotation=180), Frame.of(scene)]
    plain, turned, again = (result.labels for result in segment.segment(frames))
    assert np.array_equal(plain, again)
    assert (by_hand(turned, 180) == plain).mean() > 0.9999


def test_compiled_for_a_rotation(scene: Image) -> None:
    segment = exact()
    spec = segment.spec(64, 96, rotation=90)
    assert spec.rotation == 90 and "turned by 90 degrees" in spec.title()
    assert segment.compile(spec) == "eager"
    segment.warm_up(spec)


def test_other_angles_are_refused() -> None:
    with pytest.raises(ArgumentError, match="rotation 45: give 0, 90, 180, 270"):
        GraphSpec("bgr8", 6, 8, rotation=45)
    with pytest.raises(FrameError, match="rotation -90: give 0, 90, 180, 270"):
        Frame.of(np.zeros((6, 8, 3), np.uint8), rotation=-90)


def test_specs_without_rotation_are_as_before_there_was_one() -> None:
    spec = GraphSpec("bgr8", 360, 480)
    turned = replace(spec, rotation=270)
    assert "rotation" not in spec.to_dict()
    for one in (spec, turned):
        assert GraphSpec.from_dict(one.to_dict()) == one
    assert spec.identity({}, {}) != turned.identity({}, {})


@pytest.mark.slow
def test_openvino_turns_too(scene: Image) -> None:
    spec = GraphSpec("yuyv", 96, 128, batch=2, rotation=90)
    small = cv2.resize(by_hand(scene, -90), (128, 96)).astype(np.uint8)
    pixels = ENCODINGS["yuyv"].from_rgb(small)
    frames = torch.from_numpy(np.stack([pixels, pixels[::-1]])).to(CPU)
    (expected,), (found,) = Eager().build(job(spec))(frames), opened(OpenVino(), spec)(frames)
    assert found.shape == expected.shape == (2, 96, 128)
    assert (found == expected).float().mean() > 0.995
