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
    refuse_other_classes,
)
from regseg_core.labels import CAMVID, CAMVID_PUBLISHED, CITYSCAPES, CITYSCAPES_LABEL_IDS, LabelSet
from regseg_core.media import IMAGE_SUFFIXES

Files = dict[str, Path]

_LABELS_FILE = "labels.yaml"

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
    #: The label sets that name its classes, its own first; none where nothing says which.
    labels: Callable[[Path], tuple[LabelSet, ...]]
    files: Callable[[Path, Path], tuple[Files, Files]]
    decoder: Callable[[LabelSet, Files], Decoder]

    def present(self, root: Path, split: str) -> bool:
        return all(
            (root / folder.format(split=split)).is_dir()
            for folder in (self.image_folder, self.label_folder)
        )


def open_images(root: Path, split: str, labels: LabelSet | None = None) -> LabelledImages:
    """Opens one split of a data set in any of `LAYOUTS`.

    Indices are those of `labels`, by the names of the classes; the ids and colours in the files are
    the data set's own. None: its own classes too. Files are matched by name, not read.

    Raises DataError where no layout fits, a split is empty or the classes are others, and
    LabelError and FileNotFoundError for a labels.yaml that cannot be read.
    """
    layout = _layout(root, split)
    stored = _stored(root, layout.labels(root), labels)
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
    return LabelledImages(
        split, pairs, layout.decoder(stored, annotations), labels or stored, unpaired
    )


def _stored(root: Path, known: tuple[LabelSet, ...], labels: LabelSet | None) -> LabelSet:
    """What the label images hold, in the order of `labels`."""
    if labels is None:
        return known[0] if known else LabelSet.from_yaml(root / _LABELS_FILE)
    if not known:
        return labels
    for own in known:
        if set(own.names) == set(labels.names):
            return own.ordered(labels.names)
    refuse_other_classes(root, known[0], labels)


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
    if any(path.name.endswith("_labelTrainIds.png") for path in files.values()):
        return IdDecoder(labels)
    return IdDecoder(CITYSCAPES_LABEL_IDS.ordered(labels.names), void=CITYSCAPES_VOID_IDS)


def _own_labels(root: Path) -> tuple[LabelSet, ...]:
    path = root / _LABELS_FILE
    return (LabelSet.from_yaml(path),) if path.exists() else ()


def _camvid_labels(root: Path) -> tuple[LabelSet, ...]:
    # Other data sets are kept in these folders too, and can say what their classes are.
    return _own_labels(root) or (CAMVID, CAMVID_PUBLISHED)


def _by_stem(paths: Iterable[Path]) -> Files:
    return {p.stem: p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES}


LAYOUTS = (
    Layout(
        "Cityscapes",
        "leftImg8bit/{split}",
        "gtFine/{split}",
        lambda _: (CITYSCAPES,),
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
        _camvid_labels,
        _in_one_folder,
        lambda labels, _: IdDecoder(labels),
    ),
    Layout(
        "CamVid, 960 x 720",
        "{split}",
        "{split}_labels",
        _camvid_labels,
        _camvid_large,
        lambda labels, _: ColorDecoder(labels, CAMVID_VOID_COLORS),
    ),
)
