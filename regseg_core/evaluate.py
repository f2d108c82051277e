"""`python -m regseg_core.evaluate`: scores weights on labelled images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from regseg_core.cli import (
    add_segmenter_options,
    command_parser,
    errors_in_one_line,
    make_segmenter,
)
from regseg_core.data.camvid import CamVid, DataError
from regseg_core.data.synthetic import HELD_OUT_SEED, SyntheticStreets
from regseg_core.labels import CAMVID
from regseg_core.files import write_bytes
from regseg_core.segmenter import Segmenter
from regseg_core.training.metrics import ConfusionMatrix

#: In place of a folder: frames of the synthetic street that no training draws.
STREET = "street"

_ABSENT = "does not occur: left out of the mean"


def evaluate(segment: Segmenter, pairs: CamVid | SyntheticStreets) -> dict[str, Any]:
    """Scores of `segment` over all pairs, in percent: see `ConfusionMatrix.scores`.

    Each image is segmented as the node does it; raises DataError for files that do not fit.
    """
    matrix = ConfusionMatrix(len(segment.labels))
    for index in tqdm(range(len(pairs)), unit="image", desc="evaluating"):
        image, truth = pairs[index]
        predicted = segment.labels.to_indices(segment(image, encoding="rgb8").labels)
        matrix.update(torch.from_numpy(predicted), torch.from_numpy(truth))
    return {"images": len(pairs), **matrix.scores(segment.labels.names)}


def format_scores(scores: dict[str, Any]) -> str:
    """The scores of `evaluate` as a table for people."""
    width = max(len("pixel accuracy"), *map(len, scores["iou"]))

    def row(name: str, value: float | None) -> str:
        return f"{name:{width}}  " + (_ABSENT if value is None else f"{value:6.2f}")

    rule = "-" * (width + 8)
    return "\n".join(
        [
            f"{'class':{width}}  IoU (%)",
            rule,
            *(row(name, iou) for name, iou in scores["iou"].items()),
            rule,
            row("mIoU", scores["mean_iou"]),
            row("pixel accuracy", scores["pixel_accuracy"]),
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("evaluate", __doc__)
    parser.add_argument(
        "--data",
        required=True,
        help=f"folder that holds <split>/ and <split>annot/, or '{STREET}' for the synthetic one",
    )
    parser.add_argument("--split", default="val", help="val, train or another")
    parser.add_argument("--json", type=Path, help="write the scores to this file too")
    add_segmenter_options(parser)
    options = parser.parse_args(arguments)
    with errors_in_one_line():
        segment = make_segmenter(options)
        if options.data == STREET:
            if segment.labels.names != CAMVID.names:
                raise DataError("the synthetic street is labelled with the classes of camvid")
            pairs: CamVid | SyntheticStreets = SyntheticStreets(50, first_seed=HELD_OUT_SEED)
        else:
            pairs = CamVid(options.data, options.split, segment.labels)
        scores = evaluate(segment, pairs)
        print(format_scores(scores))
        if options.json:
            where = {"weights": options.weights, "data": options.data, "split": options.split}
            write_bytes(options.json, (json.dumps({**where, **scores}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
