"""Labelled images on disk: pairs of files, read as RGB and class indices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
from PIL import ExifTags
from PIL import Image as PILImage
from torch.utils.data import Dataset

from regseg_core.arrays import Image
from regseg_core.errors import RegSegError
from regseg_core.labels import IGNORE_INDEX, LabelError, LabelSet
from regseg_core.media import MediaError, read_image

_BYTE_MODES = frozenset({"L", "P", "1"})

#: So many files without a partner are named.
_NAMED = 5


class DataError(RegSegError, ValueError):
    """A data set that cannot be used as it is, with the first files that are wrong."""


class Decoder(Protocol):
    """What the values in label images mean."""

    #: The stored ids and colours, in the order of the class indices.
    labels: LabelSet

    def __call__(self, stored: Image) -> Image:
        """H x W uint8 ids or H x W x 3 uint8 RGB colours -> H x W uint8 class indices.

        Raises LabelError.
        """


class Titled(Protocol):
    """Labelled images that have a name each; `unpaired` names what has no partner."""

    labels: LabelSet
    unpaired: tuple[str, ...]

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Image, Image]: ...
    def title(self, index: int) -> str: ...


class LabelledImages(Dataset[tuple[Image, Image]]):
    """Images and their label images.

    An item is (H x W x 3 uint8 RGB image, H x W uint8 class indices, 255 ignored); reading one
    raises DataError for a file that is unreadable, two sizes that differ, or ids or colours outside
    the label set. `unpaired` names what has no partner; whoever opens a set for use looks at it.
    `labels` are the classes of the indices; the stored ids are the decoder's.
    """

    def __init__(
        self,
        name: str,
        pairs: Sequence[tuple[Path, Path]],
        decode: Decoder,
        labels: LabelSet,
        unpaired: Sequence[str] = (),
    ) -> None:
        self.name, self.pairs, self.labels = name, tuple(pairs), labels
        self.unpaired = tuple(unpaired)
        self.decode = decode

    def __len__(self) -> int:
        return len(self.pairs)

    def title(self, index: int) -> str:
        """What an error calls that pair."""
        return str(self.pairs[index][0])

    def __getitem__(self, index: int) -> tuple[Image, Image]:
        image_path, label_path = self.pairs[index]
        try:
            image = read_image(image_path)
        except MediaError as error:
            raise DataError(str(error)) from error
        label = self.label(index)
        if label.shape != image.shape[:2]:
            raise DataError(f"{label_path} {size_mismatch(label.shape, image.shape)}")
        return image, label

    def label(self, index: int) -> Image:
        """The class indices alone, H x W uint8."""
        path = self.pairs[index][1]
        try:
            return self.decode(read_stored_labels(path))
        except LabelError as error:
            raise DataError(f"{path}: {error}") from error

    def image_shape(self, index: int) -> tuple[int, int]:
        """Height and width of the upright image, from its header alone. Raises DataError."""
        path = self.pairs[index][0]
        try:
            with PILImage.open(path) as header:
                # Not of PNGs: Pillow decodes the whole image for it.
                exif = {} if header.format == "PNG" else header.getexif()
                # A file may hold anything there, also no number.
                turned = exif.get(ExifTags.Base.Orientation) in range(5, 9)
                height, width = header.height, header.width
                return (width, height) if turned else (height, width)
        except (OSError, PILImage.DecompressionBombError) as error:
            raise DataError(f"{path} is not a readable image") from error


def refuse_unpaired(*sets: Titled) -> None:
    """Raises DataError that names the first images and labels without a partner, if there are."""
    if unpaired := [entry for images in sets for entry in images.unpaired]:
        listed = "; ".join(unpaired[:_NAMED])
        raise DataError(f"{len(unpaired)} files without image or label: {listed}")


def refuse_other_classes(data: object, own: LabelSet, wanted: LabelSet) -> NoReturn:
    """Raises DataError that names the classes of both."""
    raise DataError(
        f"{data} is labelled with the classes of {own.name} ({', '.join(own.names)}), not of"
        f" {wanted.name} ({', '.join(wanted.names)}); give data and weights of the same classes"
    )


def size_mismatch(label: tuple[int, ...], image: tuple[int, ...]) -> str:
    """In words, of two shapes: height, width and what else."""
    return f"is {label[1]} x {label[0]} and its image {image[1]} x {image[0]}"


def read_stored_labels(path: Path) -> Image:
    """A label image as it is stored: ids (also those of a palette image) or RGB colours.

    Raises DataError where it is unreadable or of more than one byte a channel.
    """
    try:
        with PILImage.open(path) as stored:
            if stored.mode in _BYTE_MODES:
                return np.array(stored, np.uint8)
            if stored.mode in ("RGB", "RGBA"):
                return np.array(stored.convert("RGB"))
            mode = stored.mode
    except (OSError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable label image") from error
    raise DataError(f"{path} is a label image of mode {mode}; store one byte a pixel, or RGB")


class IdDecoder:
    """Ids of a label set -> class indices; `void` ids mean "no class" beside its ignore_id."""

    def __init__(self, labels: LabelSet, void: Sequence[int] = ()) -> None:
        self.labels, self.void = labels, void

    def __call__(self, stored: Image) -> Image:
        if stored.ndim != 2:
            raise LabelError("holds colours; ids, one byte a pixel, are what belongs here")
        return self.labels.to_indices(stored, self.void)


class ColorDecoder:
    """Colours of a label set -> class indices.

    `void` colours have no class; without any given, black has none if it is no class's colour.
    """

    def __init__(self, labels: LabelSet, void: Sequence[tuple[int, int, int]] = ()) -> None:
        colors = [entry.color for entry in labels.classes]
        if len(set(colors)) < len(colors):
            raise LabelError(f"label set {labels.name!r} has a colour twice; colours cannot tell")
        if not void and (0, 0, 0) not in colors:
            void = [(0, 0, 0)]
        self.labels = labels
        codes = _packed(np.array([*colors, *void], np.uint8))
        indices = np.array([*range(len(colors)), *[IGNORE_INDEX] * len(void)], np.uint8)
        order = np.argsort(codes)
        self._codes, self._indices = codes[order], indices[order]

    def __call__(self, stored: Image) -> Image:
        if stored.ndim != 3:
            raise LabelError("holds ids; colours of the label set are what belongs here")
        codes = _packed(stored)
        found = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        if (unknown := codes[self._codes[found] != codes]).size:
            first = [[int(c >> 16), int(c >> 8) & 255, int(c) & 255] for c in np.unique(unknown)]
            raise LabelError(f"colours {first[:5]} are not in label set {self.labels.name!r}")
        indices: Image = self._indices[found]
        return indices


class IdOrColorDecoder:
    """Ids or colours of a label set -> class indices, told apart image by image."""

    def __init__(self, labels: LabelSet) -> None:
        self.labels, self._ids = labels, IdDecoder(labels)

    def __call__(self, stored: Image) -> Image:
        return self._ids(stored) if stored.ndim == 2 else self._colors(stored)

    @cached_property
    def _colors(self) -> ColorDecoder:
        # Not before a colour is met: labels of ids may share colours.
        return ColorDecoder(self.labels)


def _packed(colors: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    red, green, blue = (colors[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue
