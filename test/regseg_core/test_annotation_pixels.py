"""Run lengths and polygons against what is slow and plain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regseg_core.annotation.brush import decode_brush, encode_brush
from regseg_core.annotation.canvas import Points, box, polygon
from regseg_core.annotation.pool import AnnotationError
from regseg_core.annotation.runs import Mask, from_run_lengths, run_lengths

SMALL = st.tuples(st.integers(1, 9), st.integers(1, 40))


@st.composite
def small_masks(draw: st.DrawFn) -> Mask:
    shape = draw(SMALL)
    size = shape[0] * shape[1]
    pixels = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    return np.array(pixels, np.bool_).reshape(shape)


@settings(max_examples=80, deadline=None)
@given(small_masks())
def test_run_lengths(mask: Mask) -> None:
    plain, value = [0], False
    for pixel in mask.flat:
        if bool(pixel) != value:
            plain.append(0)
            value = not value
        plain[-1] += 1
    assert run_lengths(mask).tolist() == plain
    assert np.array_equal(from_run_lengths(run_lengths(mask)).reshape(mask.shape), mask)


class Bits:
    """A text of zeros and ones, read from the front."""

    def __init__(self, data: bytes) -> None:
        self.text = "".join(f"{byte:08b}" for byte in data)

    def take(self, count: int) -> int:
        taken, self.text = self.text[:count], self.text[count:]
        return int(taken, 2)


def plain_decode(data: bytes) -> list[int]:
    """rle-pack as its README describes it."""
    bits = Bits(data)
    total, word = bits.take(32), bits.take(5) + 1
    sizes = [bits.take(4) + 1 for _ in range(4)]
    words: list[int] = []
    while len(words) < total:
        repeated = bits.take(1)
        count = bits.take(sizes[bits.take(2)]) + 1
        if repeated:
            words += [bits.take(word)] * count
        else:
            words += [bits.take(word) for _ in range(count)]
    return words


def plain_encode(words: list[int], sizes: list[int], choices: Iterator[int]) -> bytes:
    """rle-pack with any of its freedoms: kinds of counts, and repeated words one by one."""
    text = f"{len(words):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    place = 0
    while place < len(words):
        choice = next(choices)
        kind = choice % 4
        same = 1
        while place + same < len(words) and words[place + same] == words[place]:
            same += 1
        most = same if choice & 4 else len(words) - place
        count = min(most, 1 << sizes[kind], choice // 8 + 1)
        text += f"{int(bool(choice & 4))}{kind:02b}{count - 1:0{sizes[kind]}b}"
        text += "".join(f"{w:08b}" for w in words[place : place + (1 if choice & 4 else count)])
        place += count
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


@settings(max_examples=60, deadline=None)
@given(small_masks())
def test_brush_masks_are_read_by_the_plain_decoder(mask: Mask) -> None:
    data = encode_brush(mask)
    assert plain_decode(data) == np.repeat(mask.ravel() * 255, 4).tolist()
    assert np.array_equal(decode_brush(data, (len(mask), mask.size // len(mask))), mask)


def test_brush_masks_begin_as_label_studios_do() -> None:
    """The first bytes of what people made of 3332 x 2527 pixels, empty at the top."""
    data = encode_brush(np.zeros((2527, 3332), np.bool_))
    assert list(data[:14]) == [2, 1, 233, 240, 57, 27, 255, 255, 255, 0, 255, 255, 224, 31]
    assert not decode_brush(data, (2527, 3332)).any()


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 12)),
    st.lists(st.integers(1, 16), min_size=4, max_size=4),
    st.randoms(use_true_random=False),
)
def test_brush_masks_of_the_plain_encoder(shape: tuple[int, int], sizes: list[int], random) -> None:  # type: ignore[no-untyped-def]
    alpha = [random.choice((0, 0, 127, 128, 255, 255)) for _ in range(shape[0] * shape[1])]
    words = [value for value in alpha for _ in range(4)]
    data = plain_encode(words, sizes, iter(lambda: random.randrange(1 << 9), None))
    inside = np.array(alpha).reshape(shape) >= 128
    assert np.array_equal(decode_brush(data, shape), inside)
    with pytest.raises(AnnotationError, match="run lengths"):
        decode_brush(data[:-1], shape)


@settings(max_examples=150, deadline=None)
@given(SMALL, st.binary(max_size=60), st.booleans())
def test_brush_masks_of_nonsense(shape: tuple[int, int], data: bytes, headed: bool) -> None:
    if headed:
        data = encode_brush(np.zeros(shape, np.bool_))[:6] + data
    with suppress(AnnotationError):
        assert decode_brush(data, shape).shape == shape


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-40, 160)] * 2), min_size=3, max_size=9))
def test_a_polygon_has_the_pixels_whose_middle_is_inside(points: list[tuple[int, int]]) -> None:
    corners = np.array(points, np.float64) / 10 + 0.013  # no middle lies on an edge
    inside = polygon(corners, (9, 13))
    for row in range(9):
        for column in range(13):
            assert inside[row, column] == _odd_crossings(corners, column + 0.5, row + 0.5)


def _odd_crossings(corners: Points, x: float, y: float) -> bool:
    crossings = 0
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if (y0 > y) != (y1 > y):
            crossings += x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return crossings % 2 == 1


def test_polygons_that_share_an_edge_share_no_pixel() -> None:
    left = polygon(np.array([(0, 0), (5.3, 0), (2.1, 8), (0, 8)]), (8, 10))
    right = polygon(np.array([(5.3, 0), (10, 0), (10, 8), (2.1, 8)]), (8, 10))
    assert (left ^ right).all()
    assert polygon(box(2, 1, 4, 3, 0), (8, 10)).sum() == 4
