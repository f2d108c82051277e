"""A data set by what people call it: a folder in a known layout, or `street`."""

from __future__ import annotations

from pathlib import Path

from regseg_core.data.labelled import Titled, refuse_other_classes
from regseg_core.data.layouts import open_images
from regseg_core.data.synthetic import HELD_OUT_SEED, STREET, SyntheticStreets
from regseg_core.labels import CAMVID, LabelSet

#: Frames of the synthetic street that are scored; no training uses them.
SCORED_STREETS = 50


def open_split(
    data: str | Path, split: str, labels: LabelSet | None = None, streets: int | None = None
) -> Titled:
    """One split of a folder in any known layout, or the held-out frames of `street`.

    Indices are those of `labels`, by the names of the classes; None: the data set's own.
    `streets`: how many frames of the street; None: SCORED_STREETS.
    Raises DataError where there is no such split or it has other classes, and LabelError and
    FileNotFoundError for a labels.yaml that cannot be read.
    """
    if data != STREET:
        return open_images(Path(data), split, labels)
    if labels is not None and labels.names != CAMVID.names:
        refuse_other_classes("the synthetic street", CAMVID, labels)
    return SyntheticStreets(streets or SCORED_STREETS, first_seed=HELD_OUT_SEED)
