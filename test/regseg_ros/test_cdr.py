"""Serialised images are what rclpy makes of them, byte for byte, to and fro."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from rig import image
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from regseg_core.encodings import ENCODINGS
from regseg_core.errors import FrameError
from regseg_ros.cdr import serialized_image

NOISE = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)


def lens(frame_id: str = "lens") -> Header:
    return Header(stamp=Time(sec=-(2**31), nanosec=2**32 - 1), frame_id=frame_id)


def check_written(data: bytes, message: Image) -> None:
    """As rclpy writes it, which leaves what it finds where bytes are skipped; here these are 0."""
    expected = serialize_message(message)
    assert len(data) == len(expected)
    skipped = [place for place, byte in enumerate(data) if byte != expected[place]]
    assert len(skipped) <= 6 and not any(data[place] for place in skipped)
    assert deserialize_message(data, Image) == message


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_rclpys(encoding: str) -> None:
    pixels = ENCODINGS[encoding].from_rgb(NOISE)
    message = image(pixels, encoding)
    message.header = lens()
    assert (message.height, message.width) == (6, 4)
    check_written(serialized_image(pixels, encoding, lens()), message)


@pytest.mark.parametrize("frame_id", ["", *("abcdefgh"[:n] for n in range(1, 9)), "Kamera für ☀"])
def test_every_length_of_a_name_is_rclpys(frame_id: str) -> None:
    message = image(NOISE, "bgr8")
    message.header = lens(frame_id)
    check_written(serialized_image(NOISE, "bgr8", lens(frame_id)), message)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_are_in_order_and_without_padding(encoding: str) -> None:
    upside_down = ENCODINGS[encoding].from_rgb(NOISE)[::-1]
    message = deserialize_message(serialized_image(upside_down, encoding, lens()), Image)
    assert message.step == upside_down[0].nbytes
    assert bytes(message.data) == upside_down.tobytes()


def test_another_shape_is_refused() -> None:
    with pytest.raises(FrameError, match="mono8 frame must be H x W"):
        serialized_image(NOISE, "mono8", lens())


def test_pixels_are_copied_once() -> None:
    pixels = np.zeros((480, 640, 3), np.uint8)
    tracemalloc.start()
    try:
        data = serialized_image(pixels, "rgb8", lens())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * pixels.nbytes < 1.2 * len(data)
