"""JPEG and PNG messages become frames, or are refused before they cost anything."""

from __future__ import annotations

import array
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sensor_msgs.msg import CompressedImage

from regseg_core.errors import FrameError
from regseg_core.messages.compressed import to_frame

Pixels = npt.NDArray[np.uint8]

LIMIT = 100_000


def message(data: bytes, format: str = "jpeg") -> CompressedImage:
    return CompressedImage(format=format, data=array.array("B", data))


@pytest.fixture(scope="module")
def smooth() -> Pixels:
    """40 x 60 x 3 RGB that JPEG hardly changes."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4).astype(np.uint8)


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg(rgb: Pixels) -> bytes:
    return stored(Image.fromarray(rgb), "JPEG", quality=98)


def png(pixels: npt.NDArray[Any]) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def luma(rgb: Pixels) -> Pixels:
    return np.array(Image.fromarray(rgb).convert("L"))


@pytest.mark.parametrize(
    "format", ["jpeg", "jpg", "", "rgb8; jpeg compressed bgr8", "bayer_rggb8; jpeg compressed bgr8"]
)
def test_colour_jpegs(format: str, smooth: Pixels) -> None:
    frame = to_frame(message(jpeg(smooth), format), LIMIT)
    assert frame.encoding == "bgr8" and (frame.height, frame.width) == (40, 60)
    assert np.abs(frame.rgb().astype(int) - smooth).mean() < 2


@pytest.mark.parametrize("format", ["png", "bgr8; png compressed", "rgb8; png compressed bgr8"])
def test_colour_pngs_are_exact(format: str, smooth: Pixels) -> None:
    for file in (
        stored(Image.fromarray(smooth), "PNG"),
        png((smooth[..., ::-1].astype(np.uint16) << 8) + 200),
    ):
        frame = to_frame(message(file, format), LIMIT)
        assert frame.encoding == "bgr8" and np.array_equal(frame.rgb(), smooth)


def test_rgb_order_in_the_file_is_taken_back(smooth: Pixels) -> None:
    for file in (png(smooth), cv2.imencode(".jpg", smooth)[1].tobytes()):
        frame = to_frame(message(file, "rgb8; png compressed rgb8"), LIMIT)
        assert frame.encoding == "rgb8"
        assert np.abs(frame.pixels.astype(int) - smooth).mean() < 4


KINDS: list[tuple[str, Callable[[Pixels], bytes], str]] = [
    ("gray jpeg", lambda rgb: stored(Image.fromarray(luma(rgb)), "JPEG", quality=98), "mono8"),
    ("gray png", lambda rgb: png(luma(rgb)), "mono8"),
    ("gray png of 16 bits", lambda rgb: png(luma(rgb).astype(np.uint16) << 8), "mono8"),
    ("png with alpha", lambda rgb: png(np.dstack([rgb[..., ::-1], luma(rgb)])), "bgra8"),
    (
        "gray png with alpha",
        lambda rgb: stored(Image.fromarray(luma(rgb)).convert("LA"), "PNG"),
        "bgra8",
    ),
    ("palette", lambda rgb: stored(Image.fromarray(rgb).quantize(256), "PNG"), "bgr8"),
    ("one bit", lambda rgb: stored(Image.fromarray(rgb).convert("1"), "PNG"), "mono8"),
    ("cmyk", lambda rgb: stored(Image.fromarray(rgb).convert("CMYK"), "JPEG"), "bgr8"),
    (
        "progressive",
        lambda rgb: stored(Image.fromarray(rgb), "JPEG", progressive=True, quality=98),
        "bgr8",
    ),
]


@pytest.mark.parametrize(("kind", "make", "encoding"), KINDS, ids=[kind for kind, *_ in KINDS])
def test_other_kinds_of_files(
    kind: str, make: Callable[[Pixels], bytes], encoding: str, smooth: Pixels
) -> None:
    frame = to_frame(message(make(smooth), "png"), LIMIT)
    assert frame.encoding == encoding and (frame.height, frame.width) == (40, 60)
    expected = smooth if encoding == "bgr8" else np.repeat(luma(smooth)[..., None], 3, axis=2)
    if kind == "png with alpha":
        expected = smooth
    if kind != "one bit":
        assert np.abs(frame.rgb().astype(int) - expected).mean() < 6


def test_exif_turns_nothing(smooth: Pixels) -> None:
    exif = Image.Exif()
    exif[274] = 6  # orientation: by 90 degrees
    for kind in ("JPEG", "PNG"):
        frame = to_frame(message(stored(Image.fromarray(smooth), kind, exif=exif)), LIMIT)
        assert (frame.height, frame.width) == (40, 60)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_of_bayer_is_a_mosaic(depth: int, smooth: Pixels) -> None:
    seen = luma(smooth)
    file = png(seen if depth == 8 else seen.astype(np.uint16) << 8)
    frame = to_frame(message(file, f"bayer_grbg{depth}; png compressed "), LIMIT)
    assert frame.encoding == "bgr8"
    assert np.array_equal(frame.pixels, cv2.cvtColor(seen, cv2.COLOR_BayerGRBG2BGR))
    gray = to_frame(message(file, f"bayer_grbg{depth}; jpeg compressed mono8"), LIMIT)
    assert gray.encoding == "mono8" and np.array_equal(gray.pixels, seen)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(height: int, width: int) -> bytes:
    """A whole PNG of zeros, of a thousandth of its size at most."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes(min(height, 20_000) * (width + 1)), 9)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animation(row_filter: int) -> bytes:
    """A PNG of two black pictures of 20 x 30; filters above 4 do not exist."""
    rows, good = (zlib.compress((bytes([n]) + bytes(90)) * 20) for n in (row_filter, 0))
    frames = [
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", n, 30, 20, 0, 0, 1, 10, 0, 0)) for n in (0, 1)
    ]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 8, 2, 0, 0, 0))
    header += chunk(b"acTL", struct.pack(">II", 2, 0))
    first, second = chunk(b"IDAT", rows), chunk(b"fdAT", struct.pack(">I", 2) + good)
    return (
        b"\x89PNG\r\n\x1a\n" + header + frames[0] + first + frames[1] + second + chunk(b"IEND", b"")
    )


def jpeg_that_says(height: int, width: int, smooth: Pixels) -> bytes:
    data = bytearray(jpeg(smooth))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def test_bombs_are_refused_before_they_are_decoded(
    smooth: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = message(bomb(4000, 5000))
    assert to_frame(large, 20_000_000).height == 4000
    # A chunk of a gigabyte in a file of hundred bytes: OpenCV takes seconds and memory over it.
    small = png(smooth[:1, :1])
    liar = message(small[:33] + struct.pack(">I", 1 << 30) + small[37:])
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it is decoded"))
    huge = jpeg_that_says(65_535, 65_535, smooth)
    for one in (large, message(bomb(70_000, 100)), message(huge)):
        with pytest.raises(FrameError, match=r"than 5 megapixels: .*raise the node's max_meg"):
            to_frame(one, 5_000_000)
    with pytest.raises(FrameError, match="truncated or damaged"):
        to_frame(liar, 5_000_000)


def test_of_an_animation_the_first_picture_is_taken() -> None:
    frame = to_frame(message(animation(0), "png"), LIMIT)
    assert (frame.height, frame.width) == (20, 30) and not frame.pixels.any()
    # OpenCV 4.11 crashes on this one.
    with pytest.raises(FrameError, match="truncated or damaged"):
        to_frame(message(animation(9), "png"), LIMIT)


def test_what_is_truncated_is_refused(smooth: Pixels) -> None:
    # A thumbnail has an end of its own.
    exif = b"Exif\0\0" + jpeg(smooth[:8, :8])
    progressive = stored(Image.fromarray(smooth), "JPEG", progressive=True)
    for file in (jpeg(smooth), stored(Image.fromarray(smooth), "JPEG", exif=exif), progressive):
        assert to_frame(message(file), LIMIT).width == 60
        for length in (0, 1, 2, 3, 4, 20, 160, len(file) // 2, len(file) - 9, len(file) - 1):
            with pytest.raises(FrameError, match=r"truncated or damaged|no JPEG or PNG"):
                to_frame(message(file[:length]), LIMIT)
    file = png(smooth)
    for length in (0, 8, 16, 23, 24, 33, 50, len(file) // 2, len(file) - 12, len(file) - 9):
        with pytest.raises(FrameError, match=r"truncated or damaged|no JPEG or PNG"):
            to_frame(message(file[:length]), LIMIT)


def test_what_is_damaged_is_refused(smooth: Pixels) -> None:
    picture = bytearray(png(smooth))
    picture[len(picture) // 2] ^= 255
    for file in (
        *[bytes(picture), jpeg(smooth)[:100] + bytes(500) + b"\xff\xd9"],
        *[jpeg_that_says(40, 0, smooth), jpeg_that_says(0, 60, smooth), bomb(0, 60)],
        *[b"\xff\xd8\xff\xd9", b"\xff\xd8" + b"\xff" * 1000, b"\xff\xd8\xff\xc0\0"],
    ):
        with pytest.raises(FrameError, match=r"damaged|pixels$"):
            to_frame(message(file), LIMIT)


@pytest.mark.parametrize(
    ("data", "format", "reason"),
    [
        (b"", "jpeg", "0 bytes of format 'jpeg' are no JPEG or PNG image"),
        (b"RIFF0000WEBP", "webp", "12 bytes of format 'webp' are no JPEG or PNG"),
        (b"x", "\udcff" * 10_000, r"format '(\\udcff){6}\\ud\.\.\.' are no JPEG"),
        (bytes(12), "16UC1; compressedDepth png", "holds distances: give the topic of a colour"),
    ],
    ids=["empty", "webp", "long", "depth"],
)
def test_other_formats_are_refused(data: bytes, format: str, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        to_frame(message(data, format), LIMIT)
