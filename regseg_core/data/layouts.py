"""Where data sets keep their images and labels; each is known by its folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from regseg_core.data.labelled import (
    ColorDecoder,
    DataError,
    Decoder,
    IdDecoder,
    IdOrColorDecoder,
    LabelledImages,
)
from regseg_core.labels import CAMVID, CITYSCAPES, CITYSCAPES_LABEL_IDS, LabelSet
from regseg_core.media import IMAGE_SUFFIXES

Files = dict[str, Path]

#: CamVid's colours beside those of the 11 classes that are scored.
CAMVID_VOID_COLORS = (
    (0, 0, 0),  # void
    (64, 128, 64),  # animal
    (192, 0, 128),  # archway
    (0, 128, 64),  # bridge
    (64, 0, 192),  # cart, luggage, pram
    (192, 128, 64),  # child
    (128, 0, 192),  # lane markings, drivable
    (192, 0, 64),  # lane markings, not drivable
    (128, 128, 64),  # text
    (192, 0, 192),  # motorcycle, scooter
    (128, 64, 64),  # other moving
    (64, 192, 128),  # parking block
    (128, 128, 192),  # road shoulder
    (64, 128, 192),  # SUV, pick-up truck
    (192, 128, 192),  # truck, bus
    (0, 64, 64),  # traffic light
    (192, 64, 128),  # train
    (0, 0, 64),  # traffic cone
    (192, 192, 0),  # vegetation that is no tree
    (64, 192, 0),  # wall
    (64, 0, 64),  # tunnel
)

#: Ids of Cityscapes' labelIds that stand for none of the 19 classes that are scored.
CITYSCAPES_VOID_IDS = tuple(sorted(set(range(34)) - set(CITYSCAPES_LABEL_IDS.ids)))


@dataclass(frozen=True)
class Layout:
    """One way of keeping a data set: folders, and how a label image is decoded."""

    title: str
    #: What must be in the data set's folder for this layout, with `{split}` in it.
    image_folder: str
    label_folder: str
    labels: Callable[[Path], LabelSet]
    files: Callable[[Path, Path], tuple[Files, Files]]
    decoder: Callable[[LabelSet, Files], Decoder]

    def present(self, root: Path, split: str) -> bool:
        return all(
            (root / folder.format(split=split)).is_dir()
            for folder in (self.image_folder, self.label_folder)
        )


def open_images(root: Path, split: str, labels: LabelSet | None = None) -> LabelledImages:
    """Opens one split of a data set in any of `LAYOUTS`, with the layout's own labels unless given.

    Files are matched by name, not read. Raises DataError where no layout fits or a split is empty,
    and LabelError for a label set that cannot be read.
    """
    layout = _layout(root, split)
    labels = labels or layout.labels(root)
    images, annotations = layout.files(
        root / layout.image_folder.format(split=split),
        root / layout.label_folder.format(split=split),
    )
    if not images:
        raise DataError(f"no images in {root / layout.image_folder.format(split=split)}")
    pairs = [(images[key], annotations[key]) for key in sorted(images.keys() & annotations.keys())]
    unpaired = [
        f"{(images | annotations)[key]} has no {'label' if key in images else 'image'}"
        for key in sorted(images.keys() ^ annotations.keys())
    ]
    return LabelledImages(split, pairs, layout.decoder(labels, annotations), labels, unpaired)


def _layout(root: Path, split: str) -> Layout:
    for layout in LAYOUTS:
        if layout.present(root, split):
            return layout
    known = "\n".join(
        f"  {entry.title}: {entry.image_folder}/ and {entry.label_folder}/".format(split=split)
        for entry in LAYOUTS
    )
    what = "holds no split" if root.is_dir() else "is not a folder; one with split"
    raise DataError(f"{root} {what} {split!r} in a layout that is known here:\n{known}")


def _in_one_folder(images: Path, labels: Path) -> tuple[Files, Files]:
    return _by_stem(images.iterdir()), _by_stem(labels.iterdir())


def _camvid_large(images: Path, labels: Path) -> tuple[Files, Files]:
    stored = _by_stem(labels.iterdir())
    return _by_stem(images.iterdir()), {
        key.removesuffix("_L"): path for key, path in stored.items()
    }


def _folder(images: Path, labels: Path) -> tuple[Files, Files]:
    def by_place(folder: Path) -> Files:
        found = (p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        return {str(p.relative_to(folder).with_suffix("")): p for p in found}

    return by_place(images), by_place(labels)


def _cityscapes(images: Path, labels: Path) -> tuple[Files, Files]:
    def by_frame(folder: Path, ending: str) -> Files:
        found = folder.glob(f"*/*{ending}.png")
        return {p.name.removesuffix(f"{ending}.png"): p for p in found}

    ready = by_frame(labels, "_gtFine_labelTrainIds")
    return by_frame(images, "_leftImg8bit"), ready or by_frame(labels, "_gtFine_labelIds")


def _cityscapes_decoder(labels: LabelSet, files: Files) -> Decoder:
    if labels.names != CITYSCAPES.names:
        raise DataError("Cityscapes' label files are for label set 'cityscapes'")
    if any(path.name.endswith("_labelTrainIds.png") for path in files.values()):
        return IdDecoder(CITYSCAPES)
    return IdDecoder(CITYSCAPES_LABEL_IDS, void=CITYSCAPES_VOID_IDS)


def _own_labels(root: Path) -> LabelSet:
    return LabelSet.from_yaml(root / "labels.yaml")


def _by_stem(paths: Iterable[Path]) -> Files:
    return {p.stem: p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES}


LAYOUTS = (
    Layout(
        "Cityscapes",
        "leftImg8bit/{split}",
        "gtFine/{split}",
        lambda _: CITYSCAPES,
        _cityscapes,
        _cityscapes_decoder,
    ),
    Layout(
        "a folder of your own, with labels.yaml",
        "images/{split}",
        "labels/{split}",
        _own_labels,
        _folder,
        lambda labels, _: IdOrColorDecoder(labels),
    ),
    Layout(
        "CamVid, 480 x 360",
        "{split}",
        "{split}annot",
        lambda _: CAMVID,
        _in_one_folder,
        lambda labels, _: IdDecoder(labels),
    ),
    Layout(
        "CamVid, 960 x 720",
        "{split}",
        "{split}_labels",
        lambda _: CAMVID,
        _camvid_large,
        lambda labels, _: ColorDecoder(labels, CAMVID_VOID_COLORS),
    ),
)
