"""Small data sets in the layouts that people have, written for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.labels import CAMVID, CITYSCAPES, CITYSCAPES_LABEL_IDS
from regseg_core.media import write_image

#: Where each class of the street belongs among those of Cityscapes.
STREET_TO_CITYSCAPES = np.array(
    [
        CITYSCAPES.names.index(name)
        for name in (
            "sky",
            "building",
            "pole",
            "road",
            "sidewalk",
            "vegetation",
            "traffic sign",
            "fence",
            "car",
            "person",
            "bicycle",
        )
    ],
    np.uint8,
)


def camvid(root: Path, count: int, size: tuple[int, int] = (160, 120)) -> Path:
    """`count` streets as train and as val, in the layout of CamVid at 480 x 360."""
    streets = SyntheticStreets(count, *size)
    for number in range(count):
        image, label = streets[number]
        for split in ("train", "val"):
            write_image(root / split / f"{number}.png", image)
            write_image(root / f"{split}annot" / f"{number}.png", label)
    return root


def cityscapes(
    root: Path, count: int, size: tuple[int, int] = (256, 128), train_ids: bool = False
) -> Path:
    """`count` streets as train and as val, of two cities, with label ids and void pixels."""
    streets = SyntheticStreets(2 * count, *size)
    for place, split in enumerate(("train", "val")):
        for number in range(count):
            image, label = streets[place * count + number]
            city = ("ulm", "bern")[number % 2]
            frame = f"{city}_{number:06d}_000019"
            indices = STREET_TO_CITYSCAPES[label]
            ids = np.array(CITYSCAPES_LABEL_IDS.ids, np.uint8)[indices]
            ids[-4:] = 1  # ego vehicle
            ids[:2] = 3  # out of the region of interest
            indices[-4:] = indices[:2] = 255
            write_image(root / "leftImg8bit" / split / city / f"{frame}_leftImg8bit.png", image)
            gt = root / "gtFine" / split / city
            write_image(gt / f"{frame}_gtFine_labelIds.png", ids)
            if train_ids:
                write_image(gt / f"{frame}_gtFine_labelTrainIds.png", indices)
    return root


def camvid_large(root: Path, count: int) -> Path:
    """`count` streets as train and as val, in the layout of CamVid at 960 x 720, in colours."""
    streets = SyntheticStreets(count, 192, 144)
    palette = np.array([entry.color for entry in CAMVID.classes], np.uint8)
    for number in range(count):
        image, label = streets[number]
        colors = palette[label]
        colors[:3] = (64, 192, 0)  # a wall: one of the 21 colours that are ignored
        for split in ("train", "val"):
            write_image(root / split / f"{number}.png", image)
            write_image(root / f"{split}_labels" / f"{number}_L.png", colors)
    return root


def folder(
    root: Path, images: Mapping[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]
) -> Path:
    """Images and labels by `split/name`, with a labels.yaml of three classes."""
    for name, (image, label) in images.items():
        write_image(root / "images" / f"{name}.jpg", image)
        write_image(root / "labels" / f"{name}.png", label)
    (root / "labels.yaml").write_text(
        "classes:\n"
        "  - {name: path, color: [128, 64, 128]}\n"
        "  - {name: grass, color: [0, 160, 0]}\n"
        "  - {name: person, color: [220, 20, 60]}\n"
    )
    return root
