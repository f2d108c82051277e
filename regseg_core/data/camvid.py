"""Labelled images in the layout of CamVid's 480 x 360 distribution."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import Dataset
from tqdm import tqdm

from regseg_core.arrays import Image
from regseg_core.labels import LabelError, LabelSet
from regseg_core.media import IMAGE_SUFFIXES, MediaError, read_image


class DataError(ValueError):
    """A data set that cannot be used as it is, with the first files that are wrong."""


class CamVid(Dataset[tuple[Image, Image]]):
    """`<root>/<split>/` images and `<root>/<split>annot/` one-byte label images of the same stems.

    An item is (H x W x 3 uint8 RGB image, H x W uint8 class indices, 255 ignored).
    Raises DataError for a missing folder, no images, an image without a label or the reverse; on
    reading, for a file that is unreadable, two sizes that differ, or ids outside the label set.
    """

    def __init__(self, root: str | Path, split: str, labels: LabelSet) -> None:
        self.labels = labels
        images = _by_stem(Path(root) / split)
        annotations = _by_stem(Path(root) / f"{split}annot")
        if not images:
            raise DataError(f"no images in {Path(root) / split}")
        if odd := sorted(images.keys() ^ annotations.keys()):
            lacking = [f"{stem} ({'label' if stem in images else 'image'})" for stem in odd[:5]]
            raise DataError(
                f"{root}, split {split!r}: {len(odd)} files lack their image or label:"
                f" {', '.join(lacking)}"
            )
        self.pairs = [(images[stem], annotations[stem]) for stem in sorted(images)]

    def __len__(self) -> int:
        return len(self.pairs)

    def check(self) -> None:
        """Reads every pair once. Raises DataError for the first that is wrong."""
        for index in tqdm(range(len(self)), unit="image", desc="checking", leave=False):
            self[index]

    def __getitem__(self, index: int) -> tuple[Image, Image]:
        image_path, label_path = self.pairs[index]
        try:
            image = read_image(image_path)
        except MediaError as error:
            raise DataError(str(error)) from error
        label = cv2.imread(str(label_path), cv2.IMREAD_UNCHANGED)
        if label is None or label.dtype != np.uint8 or label.ndim != 2:
            raise DataError(f"{label_path} is not a one-byte label image")
        if label.shape != image.shape[:2]:
            raise DataError(
                f"{label_path} is {label.shape[1]} x {label.shape[0]} and its image"
                f" {image.shape[1]} x {image.shape[0]}"
            )
        try:
            return image, self.labels.to_indices(label.astype(np.uint8, copy=False))
        except LabelError as error:
            raise DataError(f"{label_path}: {error}") from error


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; a data set here holds <split>/ and <split>annot/"
        )
    return {p.stem: p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES}
