"""Every encoding shows what an independent conversion of the same bytes shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from regseg_core import Frame, Segmenter
from regseg_core.arrays import Image
from regseg_core.backends.spec import GraphSpec
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import ArgumentError, FrameError

#: Bytes in an encoding -> H x W x 3 RGB of 0..255.
Reference = Callable[[Image], Image]


def by_opencv(code: int) -> Reference:
    return lambda pixels: cv2.cvtColor(pixels, code).astype(np.uint8, copy=False)


def by_bt601(pixels: Image) -> Image:
    """nv24 by the standard's matrix: 8 bits, Y' 16..235, Cb and Cr 16..240."""
    height = len(pixels) // 3
    luma = (pixels[:height].astype(float).clip(16) - 16) / 219
    blue, red = np.moveaxis(pixels[height:].reshape(height, -1, 2).astype(float) - 128, 2, 0) / 224
    # Kr 0.299, Kg 0.587, Kb 0.114
    r, b = luma + 1.402 * red, luma + 1.772 * blue
    g = (luma - 0.299 * r - 0.114 * b) / 0.587
    return (255 * np.stack([r, g, b], axis=-1)).round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Row:
    reference: Reference
    #: The array's shape for 6 x 8 pixels.
    shape: tuple[int, ...]
    #: Share of equal values, others being one level off, since halves are rounded differently. The
    #: standard's matrix has more than OpenCV's three decimals.
    equal: float = 1.0


#: The first name of each.
ROWS = {
    "rgb8": Row(lambda pixels: pixels, (6, 8, 3)),
    "bgr8": Row(by_opencv(cv2.COLOR_BGR2RGB), (6, 8, 3)),
    "rgba8": Row(by_opencv(cv2.COLOR_RGBA2RGB), (6, 8, 4)),
    "bgra8": Row(by_opencv(cv2.COLOR_BGRA2RGB), (6, 8, 4)),
    "mono8": Row(by_opencv(cv2.COLOR_GRAY2RGB), (6, 8)),
    "uyvy": Row(by_opencv(cv2.COLOR_YUV2RGB_UYVY), (6, 8, 2), equal=0.998),
    "yuyv": Row(by_opencv(cv2.COLOR_YUV2RGB_YUYV), (6, 8, 2), equal=0.998),
    "nv12": Row(by_opencv(cv2.COLOR_YUV2RGB_NV12), (9, 8), equal=0.998),
    "nv21": Row(by_opencv(cv2.COLOR_YUV2RGB_NV21), (9, 8), equal=0.998),
    "nv24": Row(by_bt601, (18, 8), equal=0.95),
}

ALIASES = {
    "yuv422": "uyvy",
    "yuv422_yuy2": "yuyv",
    "8UC1": "mono8",
    "8UC3": "bgr8",
    "8UC4": "bgra8",
}


def noise(*shape: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_every_encoding_has_a_reference_here() -> None:
    assert {name: encoding.name for name, encoding in ENCODINGS.items()} == {
        **{name: name for name in ROWS},
        **ALIASES,
    }


@pytest.mark.parametrize("name", ROWS)
def test_the_graphs_conversion_is_the_references(name: str) -> None:
    encoding = ENCODINGS[name]
    assert encoding.shape(6, 8) == ROWS[name].shape
    pixels = noise(*encoding.shape(96, 128))
    assert encoding.size(pixels.shape) == (96, 128)
    expected = ROWS[name].reference(pixels).astype(int)
    batch = torch.from_numpy(np.stack([pixels, pixels[::-1]]))
    for rgb in (encoding.decoder()(batch)[0].permute(1, 2, 0).numpy(), encoding.to_rgb(pixels)):
        assert rgb.shape == (96, 128, 3)
        assert np.abs(rgb - expected).max() <= 1
        assert (rgb == expected).mean() >= ROWS[name].equal


@pytest.mark.parametrize("name", ROWS)
def test_labels_of_real_frames_are_those_of_the_reference(
    name: str, segment: Segmenter, camvid: Path
) -> None:
    for path in sorted((camvid / "val").glob("*.jpg"))[10::45]:
        image = cv2.imread(str(path))[..., ::-1].astype(np.uint8)
        pixels = ENCODINGS[name].from_rgb(np.ascontiguousarray(image))
        expected = segment(ROWS[name].reference(pixels), "rgb8").labels
        assert (segment(pixels, name).labels == expected).mean() >= 0.999


@pytest.mark.parametrize("name", ROWS)
def test_from_rgb_and_back(name: str, street: Image) -> None:
    if name == "mono8":
        street = cv2.cvtColor(street[..., 1], cv2.COLOR_GRAY2RGB).astype(np.uint8)
    smooth = cv2.GaussianBlur(street, (0, 0), 4).astype(np.uint8)
    pixels = ENCODINGS[name].from_rgb(smooth)
    assert pixels.shape == ENCODINGS[name].shape(360, 480)
    difference = np.abs(ROWS[name].reference(pixels).astype(int) - smooth)
    assert difference.mean() < 1.5 and difference.max() <= 16


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_both_names_have_one_engine(alias: str, name: str) -> None:
    assert GraphSpec(alias, 6, 8) == GraphSpec(name, 6, 8)
    assert GraphSpec(alias, 6, 8).to_dict()["encoding"] == name
    assert Frame.of(noise(*ROWS[name].shape), alias).encoding == name


@pytest.mark.parametrize(
    ("name", "size"),
    [("uyvy", (6, 7)), ("yuyv", (6, 7)), ("nv12", (5, 8)), ("nv12", (6, 7)), ("nv21", (5, 8))],
)
def test_odd_sizes_are_refused_where_chroma_is_shared(name: str, size: tuple[int, int]) -> None:
    reason = rf"{name} needs an even .*width, not {size[0]} x {size[1]} pixels"
    with pytest.raises(ArgumentError, match=reason):
        GraphSpec(name, *size)
    with pytest.raises(FrameError, match=reason):
        ENCODINGS[name].from_rgb(noise(*size, 3))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *[("yuyv", (6, 7, 2)), ("uyvy", (6, 8, 3)), ("uyvy", (6, 16))],
        *[("nv12", (10, 8)), ("nv12", (9, 7)), ("nv12", (3, 8, 1, 1)), ("nv21", (7, 8))],
        *[("nv24", (17, 8)), ("nv12", (0, 8)), ("nv24", (0, 0))],
    ],
)
def test_arrays_that_hold_no_whole_image_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match=rf"a {name} frame must be .*H.*, not \({shape[0]}"):
        Frame.of(np.zeros(shape, np.uint8), name)


@pytest.mark.parametrize("padding", [0, 1, 24])
@pytest.mark.parametrize("name", ROWS)
def test_padding_is_left_out(name: str, padding: int) -> None:
    pixels = noise(*ROWS[name].shape)
    rows = pixels.reshape(len(pixels), -1)
    padded = np.pad(rows, ((0, 0), (0, padding)))
    if name == "nv24" and padding:
        # Of a chroma row, which takes two rows, all padding is at its end.
        chroma = np.pad(pixels[6:].reshape(6, 16), ((0, 0), (0, 2 * padding)))
        padded = np.concatenate([padded[:6], chroma.reshape(12, -1)])
    assert np.array_equal(ENCODINGS[name].unpadded(padded, 6, 8), pixels)


@pytest.mark.integration
@pytest.mark.parametrize("name", ROWS)
def test_openvino_takes_the_conversion(name: str) -> None:
    openvino = pytest.importorskip("openvino")
    decoder = ENCODINGS[name].decoder()
    frames = torch.from_numpy(noise(2, *ENCODINGS[name].shape(32, 48)))
    expected = decoder(frames)
    with torch.no_grad():
        exported = torch.export.export(decoder, (frames,))
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.convert_model(exported), "CPU", exact)
    found = compiled([frames.numpy()])[0]
    assert found.shape == expected.shape
    assert np.abs(found - expected.numpy()).max() <= 1


@pytest.mark.integration
@pytest.mark.parametrize("name", ROWS)
def test_tensorrt_builds_the_conversion(name: str) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("onnxscript")
    decoder = ENCODINGS[name].decoder()
    frames = torch.zeros(2, *ENCODINGS[name].shape(32, 48), dtype=torch.uint8)
    program = torch.onnx.export(decoder.eval(), (frames,), dynamo=True, verbose=False)
    assert program is not None
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    assert parser.parse(program.model_proto.SerializeToString())
    assert tuple(network.get_output(0).shape) == (2, 3, 32, 48)
