"""Image messages become frames without copying, or are refused with the reason."""

from __future__ import annotations

import array

import numpy as np
import numpy.typing as npt
import pytest
from rig import image
from sensor_msgs.msg import Image

from regseg_core.encodings import ENCODINGS
from regseg_core.errors import FrameError
from regseg_ros.frames import to_frame
from regseg_ros.messages import image_message


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("padding", [0, 7])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_known_encodings_are_views_of_the_message(encoding: str, padding: int) -> None:
    pixels = noise(*ENCODINGS[encoding].shape(6, 8))
    message = image(pixels, encoding, padding)
    assert (message.height, message.width) == (6, 8)
    frame = to_frame(message)
    assert np.array_equal(frame.pixels, pixels) and (frame.height, frame.width) == (6, 8)
    assert np.shares_memory(frame.pixels, np.frombuffer(message.data, np.uint8))
    assert frame.encoding == encoding


@pytest.mark.parametrize("padding", [0, 4])
def test_other_encodings_go_through_cv_bridge(padding: int) -> None:
    # A flat mosaic: red 40, green 90, blue 200.
    mosaic = np.tile(np.array([[40, 90], [90, 200]], np.uint8), (4, 4))
    frame = to_frame(image(mosaic, "bayer_rggb8", padding))
    assert frame.encoding == "bgr8"
    inner = frame.pixels[2:-2, 2:-2].reshape(-1, 3)
    assert np.array_equal(np.unique(inner, axis=0), [[200, 90, 40]])


def wrong(**changes: object) -> Image:
    message = image(noise(4, 5, 3), "bgr8")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (wrong(width=0), "0 x 4 pixels"),
        (wrong(height=0), "5 x 0 pixels"),
        (wrong(data=array.array("B", bytes(59))), "59 bytes of data are fewer than .* 15 x 4"),
        (wrong(step=14), "step 14 is shorter than a row of 5 bgr8 pixels, 15 bytes"),
        (wrong(step=0), "step 0 is shorter"),
        (wrong(encoding="holo9"), "encoding 'holo9' is known neither"),
        (wrong(encoding=""), "encoding '' is known neither"),
        (wrong(encoding="bayer_rggb8", step=4), "step 4 is shorter than a row of 5 bayer_rggb8"),
    ],
)
def test_wrong_messages_are_refused(message: Image, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        to_frame(message)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_messages_have_no_padding(encoding: str) -> None:
    pixels = ENCODINGS[encoding].from_rgb(noise(3, 4, 3))
    header = image(noise(1, 1), "mono8").header
    message = image_message(pixels[::-1], encoding, header)
    assert (message.height, message.width, message.encoding) == (3, 4, encoding)
    assert message.step == pixels.nbytes // 3
    assert bytes(message.data) == pixels[::-1].tobytes()
