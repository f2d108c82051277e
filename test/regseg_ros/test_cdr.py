"""Serialised images are what rclpy makes of them, byte for byte, to and fro."""

from __future__ import annotations

import re
import struct
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from rig import image
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from regseg_core.encodings import ENCODINGS
from regseg_core.errors import FrameError
from regseg_core.messages.uncompressed import to_frame
from regseg_ros.cdr import ReceivedImage, received_image, serialized_image

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


def check_same(read: ReceivedImage | Image, message: Image) -> None:
    for name in ("header", "height", "width", "encoding", "is_bigendian", "step"):
        assert getattr(read, name) == getattr(message, name), name
    assert bytes(read.data) == bytes(message.data)


def big_endian(message: Image) -> bytes:
    """As a computer of the other byte order sends it."""
    made = bytearray(b"\0\0\0\0")

    def add(kinds: str, *values: int) -> None:
        made.extend(bytes(-len(made) % 4) + struct.pack(f">{kinds}", *values))

    header = message.header
    add("iI", header.stamp.sec, header.stamp.nanosec)
    for text, numbers in (
        (header.frame_id, (message.height, message.width)),
        (message.encoding, ()),
    ):
        add("I", len(text.encode()) + 1)
        made.extend(text.encode() + b"\0")
        if numbers:
            add("II", *numbers)
    made.append(message.is_bigendian)
    add("II", message.step, len(message.data))
    return bytes(made) + bytes(message.data)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", [*ENCODINGS, "mono16", "rgb16", "bayer_rggb8", "32FC1"])
def test_every_encoding_is_read_as_rclpy_reads_it(encoding: str, padding: int) -> None:
    known = ENCODINGS.get(encoding)
    message = image(NOISE if known is None else known.from_rgb(NOISE), encoding, padding)
    message.is_bigendian = 1
    for frame_id in ("", "a", "ab", "abc", "abcd", "Kamera für ☀"):
        message.header = lens(frame_id)
        for data in (serialize_message(message), big_endian(message)):
            read = received_image(data)
            check_same(read, message)
            check_same(read, deserialize_message(data, Image))
            assert isinstance(read, ReceivedImage)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_frames_are_views_of_the_bytes_that_came(encoding: str) -> None:
    pixels = ENCODINGS[encoding].from_rgb(NOISE)
    data = serialized_image(pixels, encoding, lens())
    frame = to_frame(received_image(data))
    assert np.array_equal(frame.pixels, pixels)
    assert np.shares_memory(frame.pixels, np.frombuffer(data, np.uint8))


def test_another_form_of_cdr_is_left_to_ros() -> None:
    data = serialized_image(NOISE, "bgr8", lens())
    other = b"\x00\x07" + data[2:]  # version 2, in which an Image lies the same
    try:
        expected = deserialize_message(other, Image)
    except Exception:
        with pytest.raises(FrameError, match="are no whole sensor_msgs/Image"):
            received_image(other)
    else:
        check_same(received_image(other), expected)


@pytest.mark.parametrize("order", [serialize_message, big_endian])
def test_what_is_cut_off_is_refused(order: Callable[[Image], bytes]) -> None:
    message = image(NOISE, "bgr8")
    message.header = lens()
    data = order(message)
    for end in range(len(data)):
        with pytest.raises(FrameError, match=f"^{end} bytes are no whole sensor_msgs/Image"):
            received_image(data[:end])
    check_same(received_image(data + b"more"), message)


GOOD = serialized_image(NOISE, "bgr8", lens())


@given(
    data=st.binary(max_size=120)
    | st.builds(
        lambda start, end, put: GOOD[:start] + put + GOOD[end:],
        st.integers(0, 70),
        st.integers(0, len(GOOD)),
        st.binary(max_size=12) | st.just(b"\xff\xff\xff\xff"),
    )
)
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_as_ros_reads_them_or_refused(data: bytes) -> None:
    try:
        read = received_image(data)
    except FrameError as error:
        assert re.match(r"\d+ bytes are no whole sensor_msgs/Image: ", str(error))
        if len(data) >= 4:
            with pytest.raises(Exception, match=r"."):
                deserialize_message(data, Image)
    else:
        check_same(read, deserialize_message(data, Image))
