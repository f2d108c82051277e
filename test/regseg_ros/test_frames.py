"""Image messages become frames without copying, or are refused with the reason."""

from __future__ import annotations

import array
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from backends import marking
from rclpy.serialization import serialize_message
from rig import image
from sensor_msgs.msg import Image
from torch import Tensor

from regseg_core import Segmenter
from regseg_core.backends.base import Compiled, Job
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import FrameError
from regseg_core.messages.uncompressed import to_frame
from regseg_ros.cdr import received_image

Pixels = npt.NDArray[np.uint8]

BAYER = {
    "bayer_rggb": ((0, 1, 1, 2), "COLOR_BayerRGGB2BGR"),
    "bayer_bggr": ((2, 1, 1, 0), "COLOR_BayerBGGR2BGR"),
    "bayer_gbrg": ((1, 2, 0, 1), "COLOR_BayerGBRG2BGR"),
    "bayer_grbg": ((1, 0, 2, 1), "COLOR_BayerGRBG2BGR"),
}


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def wide(pixels: Pixels, encoding: str, big: bool, padding: int = 0) -> Image:
    """H x W (x C): the high bytes of a message of 16 bits, over low bytes of noise."""
    values = pixels.astype(np.uint16) << 8 | noise(*pixels.shape)[..., ::-1]
    data = np.ascontiguousarray(values.astype(">u2" if big else "<u2")).view(np.uint8)
    message = image(data.reshape(len(pixels), -1), "mono8", padding)
    message.width, message.encoding, message.is_bigendian = pixels.shape[1], encoding, big
    return message


def mosaic(rgb: Pixels, channels: tuple[int, ...]) -> Pixels:
    """What a sensor behind such filters sees of H x W x 3; H and W are even."""
    made = np.empty(rgb.shape[:2], np.uint8)
    for place, channel in enumerate(channels):
        row, column = divmod(place, 2)
        made[row::2, column::2] = rgb[row::2, column::2, channel]
    return made


@pytest.mark.parametrize("padding", [0, 7])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_known_encodings_are_views_of_the_message(encoding: str, padding: int) -> None:
    pixels = noise(*ENCODINGS[encoding].shape(6, 8))
    if encoding == "nv24":
        padding = 0  # the next test
    message = image(pixels, encoding, padding)
    assert (message.height, message.width) == (6, 8)
    frame = to_frame(message)
    assert np.array_equal(frame.pixels, pixels) and (frame.height, frame.width) == (6, 8)
    assert np.shares_memory(frame.pixels, np.frombuffer(message.data, np.uint8))
    assert frame.encoding == ENCODINGS[encoding].name


def test_chroma_rows_of_nv24_have_twice_the_step() -> None:
    luma, chroma = noise(6, 8), noise(6, 16)
    data = np.concatenate(
        [np.pad(luma, ((0, 0), (0, 3))).ravel(), np.pad(chroma, ((0, 0), (0, 6))).ravel()]
    )
    message = Image(
        height=6, width=8, encoding="nv24", step=11, data=array.array("B", data.tobytes())
    )
    pixels = to_frame(message).pixels
    assert np.array_equal(pixels[:6], luma) and np.array_equal(pixels[6:].reshape(6, 16), chroma)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("encoding", "shape", "as_bytes"),
    [
        *[("mono16", (6, 8), "mono8"), ("16UC1", (6, 8), "mono8")],
        *[("rgb16", (6, 8, 3), "rgb8"), ("bgra16", (6, 8, 4), "bgra8")],
    ],
)
def test_of_16_bits_the_high_8_are_taken(
    encoding: str, shape: tuple[int, ...], as_bytes: str, big: bool, padding: int
) -> None:
    pixels = noise(*shape)
    frame = to_frame(wide(pixels, encoding, big, padding))
    assert frame.encoding == as_bytes and (frame.height, frame.width) == (6, 8)
    assert np.array_equal(frame.pixels, pixels)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("pattern", BAYER)
def test_bayer_is_what_opencvs_demosaic_gives(pattern: str, padding: int) -> None:
    channels, code = BAYER[pattern]
    seen = mosaic(noise(6, 8, 3), channels)
    expected = cv2.cvtColor(seen, getattr(cv2, code))
    frames = [
        to_frame(image(seen, f"{pattern}8", padding)),
        *(to_frame(wide(seen, f"{pattern}16", big, padding)) for big in (False, True)),
    ]
    for frame in frames:
        assert frame.encoding == "bgr8" and np.array_equal(frame.pixels, expected)
    # Red 40, green 90, blue 200 all over.
    flat = mosaic(np.full((8, 8, 3), (40, 90, 200), np.uint8), channels)
    assert (to_frame(image(flat, f"{pattern}8", padding)).pixels == (200, 90, 40)).all()


@pytest.mark.parametrize(
    "encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "8UC3", "bayer_rggb8", "bayer_gbrg8"]
)
def test_colours_are_cv_bridges(encoding: str) -> None:
    bridge = pytest.importorskip("cv_bridge").CvBridge()
    known = ENCODINGS.get(encoding)
    message = image(noise(*known.shape(6, 8)) if known else noise(6, 8), encoding)
    wanted = "passthrough" if encoding == "8UC3" else "bgr8"
    expected = bridge.imgmsg_to_cv2(message, desired_encoding=wanted)
    assert np.array_equal(to_frame(message).rgb(), expected[..., ::-1])


@pytest.mark.parametrize("pattern", BAYER)
def test_labels_of_bayer_are_nearly_the_colour_frames(pattern: str, camvid: Path) -> None:
    segment = Segmenter(precision="float32", device="cpu", backend="eager", cache=None)
    path = sorted((camvid / "val").glob("*.jpg"))[50]
    scene = cv2.imread(str(path))[..., ::-1].astype(np.uint8)
    message = image(mosaic(scene, BAYER[pattern][0]), f"{pattern}8")
    labels = segment.segment([to_frame(message)])[0].labels
    assert (labels == segment(np.ascontiguousarray(scene), "rgb8").labels).mean() > 0.97


def wrong(encoding: str = "bgr8", **changes: object) -> Image:
    message = image(noise(4, 5, 3), "bgr8")
    for name, value in {"encoding": encoding, **changes}.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (wrong(width=0), "0 x 4 pixels"),
        (wrong(height=0), "5 x 0 pixels"),
        (wrong(data=array.array("B", bytes(59))), "59 bytes of data are fewer than .* 15 x 4"),
        (wrong(data=array.array("B")), "0 bytes of data are fewer"),
        (wrong(height=70_000), "60 bytes of data are fewer than .* 15 x 70000"),
        (wrong(width=70_000), "step 15 is shorter than a row of 70000 bgr8 pixels, 210000 bytes"),
        (wrong(step=14), "step 14 is shorter than a row of 5 bgr8 pixels, 15 bytes"),
        (wrong(step=0), "step 0 is shorter"),
        (wrong(step=2**32 - 1), "60 bytes of data are fewer than .* 4294967295 x 4"),
        (wrong("rgb16"), "step 15 is shorter than a row of 5 rgb16 pixels, 30 bytes"),
        (wrong("bayer_rggb8", step=4), "step 4 is shorter than a row of 5 bayer_rggb8"),
        (wrong("bayer_grbg16", width=2, step=4), "bayer_grbg8 needs at least 3 x 3 pixels"),
        (wrong("yuyv"), "yuyv needs an even width, not 4 x 5 pixels"),
        (wrong("nv12", width=4, height=3), "nv12 needs an even height and width, not 3 x 4"),
        (
            wrong("nv12", width=4, step=12),
            "60 bytes of data are fewer than .* 12 x 6 of 4 x 4 nv12",
        ),
        (wrong("nv24"), "60 bytes of data are fewer than .* 15 x 12 of 4 x 5 nv24"),
    ],
)
def test_wrong_messages_are_refused(message: Image, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        to_frame(message)


@pytest.mark.parametrize(
    "encoding",
    ["holo9", "", "x" * 10_000, "a\nb\0\ufffd", "\udcff", "RGB8"],
    ids=["unknown", "empty", "long", "control", "surrogate", "upper"],
)
def test_unknown_encodings_are_refused_with_those_that_work(encoding: str) -> None:
    with pytest.raises(FrameError) as caught:
        to_frame(wrong(encoding))
    text = str(caught.value)
    assert text.startswith("encoding '") and len(text) < 700
    assert text.isascii() and text.isprintable()
    for name in (*ENCODINGS, "mono16", "bayer_grbg16", "pixel_format", "output_encoding"):
        assert name in text


def test_longer_data_are_taken() -> None:
    message = image(noise(4, 6, 3), "bgr8")
    message.data.extend(bytes(1000))
    assert np.array_equal(to_frame(message).pixels, noise(4, 6, 3))


class Watching:
    """Labels everything 1, and keeps what it was given and what it gave."""

    name = "watching"

    def check(self, device: torch.device) -> None: ...

    def build(self, job: Job) -> Compiled:
        run = marking(1)

        def watched(frames: Tensor) -> tuple[Tensor, ...]:
            self.given, self.gave = frames, run(frames)[0]
            return (self.gave,)

        return watched


@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("serialized", [False, True])
def test_between_message_and_network_nothing_is_copied(serialized: bool, padding: int) -> None:
    watching = Watching()
    segment = Segmenter(device="cpu", backend=[watching], cache=None)
    names = {encoding.name for encoding in ENCODINGS.values()}
    for name in names - ({"nv24"} if padding else set()):  # whose rows have two steps
        message = image(noise(*ENCODINGS[name].shape(64, 96)), name, padding)
        data = serialize_message(message)
        (result,) = segment.segment([to_frame(received_image(data) if serialized else message)])
        came = np.frombuffer(data if serialized else message.data, np.uint8)
        assert np.shares_memory(watching.given.numpy(), came), name
        assert np.shares_memory(result.labels, watching.gave.numpy()), name
