"""Whatever is in a message, it becomes a frame of what it says, or is refused with a short text."""

from __future__ import annotations

import array

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from regseg_core import Frame
from regseg_core.encodings import ENCODINGS
from regseg_core.encodings.bayer import BAYER
from regseg_core.errors import FrameError
from regseg_core.messages import compressed, uncompressed

ENOUGH = settings(max_examples=300, deadline=None)

LIMIT = 10_000

NAMES = st.sampled_from([*ENCODINGS, *BAYER, *uncompressed.HIGH_BYTES])
TEXTS = st.text(max_size=60) | st.characters(codec="utf-8").map(lambda c: c * 10_000)
EXTREMES = st.sampled_from([0, 1, 2, 3, 255, 256, 65_535, 70_000, 2**31, 2**32 - 1])
NUMBERS = st.integers(0, 24) | EXTREMES


def check_frame(frame: Frame, height: int, width: int) -> None:
    assert (frame.height, frame.width) == (height, width)
    assert frame.encoding in ENCODINGS and frame.rgb().shape == (height, width, 3)


def check_error(error: FrameError) -> None:
    text = str(error)
    assert 0 < len(text) < 700
    assert text.isascii() and text.isprintable()


@given(
    encoding=NAMES | TEXTS,
    height=NUMBERS,
    width=NUMBERS,
    step=NUMBERS,
    is_bigendian=st.integers(0, 255),
    data=st.binary(max_size=2000),
)
@ENOUGH
def test_any_image(
    encoding: str, height: int, width: int, step: int, is_bigendian: int, data: bytes
) -> None:
    message = Image(
        encoding=encoding,
        height=height,
        width=width,
        step=step,
        is_bigendian=is_bigendian,
        data=array.array("B", data),
    )
    try:
        frame = uncompressed.to_frame(message)
    except FrameError as error:
        check_error(error)
    else:
        check_frame(frame, height, width)
        assert frame.pixels.nbytes <= 3 * len(data)


@given(
    encoding=NAMES,
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    padding=st.integers(0, 9),
    is_bigendian=st.integers(0, 1),
    missing=st.sampled_from([0, 0, 0, 1, 7]),
)
@ENOUGH
def test_nearly_right_images(
    encoding: str, height: int, width: int, padding: int, is_bigendian: int, missing: int
) -> None:
    step = width * 8 + padding
    data = np.arange(step * height * 3, dtype=np.uint8)[missing:]
    message = Image(
        encoding=encoding,
        height=height,
        width=width,
        step=step,
        is_bigendian=is_bigendian,
        data=array.array("B", data.tobytes()),
    )
    try:
        frame = uncompressed.to_frame(message)
    except FrameError as error:
        check_error(error)
        small = encoding in BAYER or uncompressed.HIGH_BYTES.get(encoding) in BAYER
        known = ENCODINGS.get(encoding)
        assert (
            (small and min(height, width) < 3)
            or (known is not None and known.refusal(height, width))
            or (encoding == "nv24" and missing)
        )
    else:
        check_frame(frame, height, width)


def files() -> list[bytes]:
    picture = cv2.GaussianBlur(np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3), (0, 0), 3)
    return [
        cv2.imencode(kind, image)[1].tobytes()
        for kind in (".jpg", ".png")
        for image in (picture, picture[..., 0])
    ]


@given(
    data=st.binary(max_size=300)
    | st.builds(
        lambda file, start, end, put: file[:start] + put + file[end:],
        st.sampled_from(files()),
        st.integers(0, 800),
        st.integers(0, 800),
        st.binary(max_size=20),
    ),
    format=TEXTS
    | st.builds(
        "{}{}{}".format,
        NAMES,
        st.sampled_from(
            ["; jpeg compressed ", "; png compressed ", ";", " ", "; compressedDepth "]
        ),
        st.sampled_from(["bgr8", "rgb8", "mono8", "bgr16", ""]),
    ),
)
@ENOUGH
def test_any_compressed_image(data: bytes, format: str) -> None:
    message = CompressedImage(format=format, data=array.array("B", data))
    try:
        frame = compressed.to_frame(message, LIMIT)
    except FrameError as error:
        check_error(error)
    else:
        check_frame(frame, frame.height, frame.width)
        assert frame.height * frame.width <= LIMIT
