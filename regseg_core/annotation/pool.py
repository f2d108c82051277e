"""A pool: images that are worth labelling by hand, with what the network took them for.

```
POOL/
  labels.yaml                 the classes: names, colours, ids, ignore_id
  images/<split>/NAME.png     or .jpg, as the camera sent it; folders within are part of the NAME
  labels/<split>/NAME.png     ids of classes, one byte a pixel, ignore_id where there is none; with
                              the classes' colours as palette, so that any viewer shows them
  why.csv, ...                whatever else its maker wants to say: nothing here reads it
```

This is the layout "a folder of your own" of `regseg_core.data.layouts`: the trainer reads it as it
is (`--data POOL --dataset.val SPLIT` where it has one split only). The split is `train` unless its
maker names another.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import ExifTags
from PIL import Image as PILImage

from regseg_core.arrays import Image
from regseg_core.data.labelled import (
    DataError,
    Decoder,
    IdOrColorDecoder,
    LabelledImages,
    refuse_unpaired,
    size_mismatch,
)
from regseg_core.data.layouts import open_images
from regseg_core.errors import RegSegError
from regseg_core.files import FileError, write_bytes
from regseg_core.labels import LabelSet
from regseg_core.media import JPEG_START, write_image

_SUFFIXES = {JPEG_START: ".jpg", b"\x89PNG": ".png"}


class AnnotationError(RegSegError, ValueError):
    """Annotations or a pool that cannot be used, with the file, the image and the shape."""


class Pool:
    """The images of one split, by name and by number; numbers are in the order of `names`.

    Use `create` or `open`. One process at a time adds to it.
    """

    def __init__(self, root: Path, split: str, labels: LabelSet, decode: Decoder) -> None:
        self.root, self.split, self.labels = root, split, labels
        self._decode = decode
        self._pairs: list[tuple[Path, Path]] = []
        self._numbers: dict[str, int] = {}

    @classmethod
    def create(cls, root: Path, labels: LabelSet, split: str = "train") -> Pool:
        """A new split, without images yet, in a folder that may be missing.

        Raises AnnotationError where the split exists or is no name for a folder, and where the
        folder has other classes, ids or colours; FileError.
        """
        if not _is_plain(split) or "/" in split:
            raise AnnotationError(f"{split!r} is no name for a split's folder")
        for kind in ("images", "labels"):
            if (root / kind / split).exists():
                raise AnnotationError(f"{root / kind / split} exists: give another folder or split")
        classes = root / "labels.yaml"
        if not classes.exists():
            text = yaml.safe_dump(labels.to_dict(), allow_unicode=True, sort_keys=False)
            write_bytes(classes, text.encode())
        elif (there := LabelSet.from_yaml(classes)).to_dict() != labels.to_dict():
            raise AnnotationError(
                f"{classes} is of {there.name} ({', '.join(there.names)}), not of {labels.name}"
                f" ({', '.join(labels.names)}) with the same ids and colours: give another folder"
            )
        for kind in ("images", "labels"):
            try:
                (root / kind / split).mkdir(parents=True)
            except OSError as error:
                raise FileError(f"cannot write {root}: {error.strerror or error}") from error
        return cls(root, split, labels, IdOrColorDecoder(labels))

    @classmethod
    def open(cls, root: Path, split: str | None = None, labels: LabelSet | None = None) -> Pool:
        """A pool on disk, whoever wrote it, its images by name.

        `split`: which one, where there are several. `labels`: the order of its classes, where it
        is not the pool's own.

        Raises AnnotationError where there is no pool, or several splits and none named; DataError
        for images without labels and other classes; LabelError and FileNotFoundError for a
        labels.yaml that cannot be read.
        """
        folder = root / "images"
        splits = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        if not splits:
            raise AnnotationError(
                f"{root} is no pool: it has no images/<split>/, labels/<split>/ and labels.yaml"
            )
        if split is None and len(splits) > 1:
            raise AnnotationError(f"{root} has the splits {', '.join(splits)}: say which one")
        images = open_images(root, split or splits[0], labels)
        refuse_unpaired(images)
        pool = cls(root, images.name, images.labels, images.decode)
        for pair in images.pairs:
            pool._append(*pair)
        return pool

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each image: its path within the split, without the suffix."""
        return tuple(self._numbers)

    def image_path(self, number: int) -> Path:
        """Where the image is."""
        return self._pairs[number][0]

    def file_name(self, number: int) -> str:
        """The image's path within its split, with `/` and its suffix."""
        return self.image_path(number).relative_to(self.root / "images" / self.split).as_posix()

    def shape(self, number: int) -> tuple[int, int]:
        """Height and width of the upright image, from its header. Raises DataError."""
        return self._alone(number).image_shape(0)

    def label(self, number: int) -> Image:
        """H x W uint8 class indices, 255 where there is no class.

        Raises DataError where it is unreadable, does not fit its image or has ids of no class.
        """
        label, shape = self._alone(number).label(0), self.shape(number)
        if label.shape != shape:
            raise DataError(f"{self._pairs[number][1]} {size_mismatch(label.shape, shape)}")
        return label

    def find(self, path: str) -> int | None:
        """The number of the image that a tool calls so, None where it is none of these.

        Suffixes may differ, and tools put folders of theirs before a name.
        """
        parts = _without_suffix(path).split("/")
        for start in range(len(parts)):
            if (number := self._numbers.get("/".join(parts[start:]))) is not None:
                return number
        return None

    def add(self, name: str, image: Image | bytes, ids: Image) -> None:
        """Adds an image and the labels to begin with, each whole or not there.

        `image`: H x W x 3 uint8 RGB, written as PNG, or the bytes of a JPEG or PNG file, kept as
        they are. `ids`: H x W uint8 ids of the pool's classes, ignore_id or 255 where there is
        none, as `Segmentation.labels` has them.

        Raises AnnotationError for a name that is taken or no file name, bytes of another format
        or turned by EXIF data, and sizes that differ; LabelError for ids of no class; FileError.
        """
        if not _is_plain(name):
            raise AnnotationError(f"{name!r} is no name for an image's file")
        shape, suffix = _header(name, image) if isinstance(image, bytes) else (image.shape, ".png")
        if ids.shape != shape[:2]:
            raise AnnotationError(f"the label of {name!r} {size_mismatch(ids.shape, shape)}")
        self._write(name, image, suffix, to_ids(self.labels, self.labels.to_indices(ids)))

    def copy(self, source: Pool, number: int, label: Image) -> None:
        """Adds an image of another pool of the same classes, its file as it is.

        `label`: H x W uint8 indices of the classes of `source`, 255 for none.
        Raises AnnotationError for a name that is taken, LabelError for other classes and FileError.
        """
        path = source.image_path(number)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror or error}") from error
        ids = to_ids(self.labels.ordered(source.labels.names), label)
        self._write(source.names[number], data, path.suffix, ids)

    def _write(self, name: str, image: Image | bytes, suffix: str, ids: Image) -> None:
        if name in self._numbers:
            raise AnnotationError(f"{self.root} has an image {name!r} already")
        label_path = self.root / "labels" / self.split / f"{name}.png"
        image_path = self.root / "images" / self.split / f"{name}{suffix}"
        write_bytes(label_path, _with_palette(ids, self.labels))
        if isinstance(image, bytes):
            write_bytes(image_path, image)
        else:
            write_image(image_path, image)
        self._append(image_path, label_path)

    def _append(self, image: Path, label: Path) -> None:
        self._pairs.append((image, label))
        self._numbers[_without_suffix(self.file_name(len(self) - 1))] = len(self) - 1

    def _alone(self, number: int) -> LabelledImages:
        return LabelledImages(self.split, [self._pairs[number]], self._decode, self.labels)


def _is_plain(name: str) -> bool:
    """Whether a name from elsewhere stays within its folder, and is seen there."""
    parts = name.split("/")
    return not re.search(r"[\\\0]", name) and all(p and not p.startswith(".") for p in parts)


def is_kept(image: bytes) -> bool:
    """Whether `Pool.add` takes an image's file as it is: a JPEG or PNG that nothing turns."""
    try:
        _header("", image)
    except AnnotationError:
        return False
    return True


def to_ids(labels: LabelSet, indices: Image) -> Image:
    """H x W uint8 class indices, 255 for none -> H x W uint8 ids, ignore_id for none."""
    table = np.full(256, labels.ignore_id, np.uint8)
    table[: len(labels)] = labels.ids
    return cv2.LUT(indices, table).astype(np.uint8, copy=False)


def hex_color(color: tuple[int, int, int]) -> str:
    """RGB as #rrggbb, as both tools write it."""
    return "#" + bytes(color).hex()


def _without_suffix(path: str) -> str:
    return re.sub(r"\.[^./]*$", "", path)


def _header(name: str, data: bytes) -> tuple[tuple[int, int], str]:
    """Height and width of an image in bytes, and the suffix that it should have."""
    suffix = next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), None)
    try:
        with PILImage.open(io.BytesIO(data)) as header:
            # A file may hold anything there, also no number.
            turned = header.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
            if suffix == ".jpg" and turned:
                raise AnnotationError(
                    f"the image {name!r} is turned by its EXIF data: give its pixels"
                )
            size = header.height, header.width
    except (OSError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise AnnotationError(f"the image {name!r} is not readable") from error
    if suffix is None:
        raise AnnotationError(f"the image {name!r} is no JPEG or PNG: give its pixels")
    return size, suffix


def _with_palette(ids: Image, labels: LabelSet) -> bytes:
    """A PNG of ids that viewers show in the classes' colours."""
    image = PILImage.fromarray(np.ascontiguousarray(ids))
    image.putpalette(labels.palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
