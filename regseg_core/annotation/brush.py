"""Label Studio's brush masks: RGBA pixels in the run-length code of thi.ng's `rle-pack`.

Source: README of github.com/thi-ng/umbrella, packages/rle-pack. Bits, the highest first:

- 32: how many words there are; 5: bits of a word, less 1; 4 x 4: bits of each kind of count, less 1
- then until all words are there: 1: whether one word is repeated; 2: the kind of count; the count,
  less 1; and the word that is repeated, or as many words as the count says.

Label Studio's words are bytes: red, green, blue and alpha of each pixel, row by row, all four the
same. 0 is outside. The brush has soft edges, so that there are values between 0 and 255.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from regseg_core.annotation.pool import AnnotationError
from regseg_core.annotation.runs import Mask, Runs, run_lengths

_WORD_BITS = 8
_CHANNELS = 4
_COUNT_BITS = (3, 4, 8, 16)
_HEADER_BITS = 32 + 5 + 4 * 4

#: From this on a pixel is inside: the brush covers half of it.
_INSIDE = 128


def encode_brush(mask: Mask) -> bytes:
    """H x W -> Label Studio's run lengths, opaque inside."""
    runs = run_lengths(mask) * _CHANNELS
    longest = 1 << _COUNT_BITS[-1]
    # Runs that are too long go in parts: whole ones, and a rest of at least one word.
    parts = np.maximum(-(-runs // longest), 1)
    ends = np.cumsum(parts) - 1
    counts: Runs = np.full(int(parts.sum()), longest, np.int64)
    counts[ends] = runs - (parts - 1) * longest
    words = np.repeat((np.arange(len(runs)) & 1) * 255, parts)[counts > 0]
    counts = counts[counts > 0]

    kinds = np.searchsorted([1 << bits for bits in _COUNT_BITS], counts)
    count_bits = np.array(_COUNT_BITS)[kinds]
    codes = ((0b100 | kinds) << count_bits | (counts - 1)) << _WORD_BITS | words
    header = mask.size * _CHANNELS << 5 | _WORD_BITS - 1
    for bits in _COUNT_BITS:
        header = header << 4 | bits - 1
    first = np.frombuffer((header << -_HEADER_BITS % 8).to_bytes(7, "big"), np.uint8)
    bits_of_all = (np.unpackbits(first)[:_HEADER_BITS], _bits(codes, 3 + count_bits + _WORD_BITS))
    return np.packbits(np.concatenate(bits_of_all)).tobytes()


def decode_brush(data: bytes, shape: tuple[int, int]) -> Mask:
    """Label Studio's run lengths of an image of that height and width -> H x W.

    Takes any kinds of counts. Raises AnnotationError for another number of pixels, words that are
    not bytes, and data that ends early or goes on for too long; memory is that of the image.
    """
    total = shape[0] * shape[1] * _CHANNELS
    header = int.from_bytes(data[:7], "big") >> 7 * 8 - _HEADER_BITS
    if len(data) < 7 or header >> 21 != total:
        raise AnnotationError(
            f"run lengths of {header >> 21} words; {shape[1]} x {shape[0]} pixels have {total}"
        )
    if (bits := (header >> 16 & 31) + 1) != _WORD_BITS:
        raise AnnotationError(f"run lengths of words of {bits} bits; Label Studio's have 8")
    count_bits = [(header >> 4 * place & 15) + 1 for place in (3, 2, 1, 0)]

    words, place = bytearray(), _HEADER_BITS
    while len(words) < total:
        # A repeated word's code has up to 27 bits, so that it lies in five bytes.
        window = int.from_bytes(data[place >> 3 : (place >> 3) + 5].ljust(5, b"\0"), "big")
        window = (window << (place & 7)) & (1 << 40) - 1
        kind_bits = count_bits[window >> 37 & 3]
        count = (window >> 37 - kind_bits & (1 << kind_bits) - 1) + 1
        start = place + 3 + kind_bits
        repeated = window >> 39
        place = start + _WORD_BITS * (1 if repeated else count)
        if place > len(data) * 8:
            raise AnnotationError(f"run lengths that end after {len(words)} of {total} words")
        if len(words) + count > total:
            raise AnnotationError(f"run lengths of more than the {total} words of the image")
        if repeated:
            words += bytes((window >> 29 - kind_bits & 255,)) * count
        else:
            literal = int.from_bytes(data[start >> 3 : place + 7 >> 3], "big") >> -place % 8
            words += (literal & (1 << 8 * count) - 1).to_bytes(count, "big")
    alpha = np.frombuffer(words, np.uint8).reshape(*shape, _CHANNELS)[..., -1]
    inside: Mask = alpha >= _INSIDE
    return inside


def _bits(codes: npt.NDArray[np.int64], widths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Codes of so many bits each, at most 32, one after the other: one bit a byte."""
    aligned = (codes << 32 - widths).astype(">u4").view(np.uint8).reshape(-1, 4)
    bits: npt.NDArray[np.uint8] = np.unpackbits(aligned, axis=1)[np.arange(32) < widths[:, None]]
    return bits
