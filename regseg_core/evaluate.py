"""`python -m regseg_core.evaluate`: scores weights on labelled images."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from regseg_core.cli import (
    add_segmenter_options,
    command_parser,
    errors_in_one_line,
    make_segmenter,
)
from regseg_core.data.labelled import DataError
from regseg_core.data.opening import open_split
from regseg_core.errors import ArgumentError
from regseg_core.evaluation.change import CLASS_MAY_LOSE, Change, refuse_others
from regseg_core.evaluation.reliability import reliability
from regseg_core.evaluation.scoring import (
    AveragedViews,
    Predict,
    Scored,
    Scorer,
    SingleView,
    evaluate,
)
from regseg_core.files import check_folder, check_writable, write_bytes
from regseg_core.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS, LabelSet
from regseg_core.media import write_image
from regseg_core.pipelining import WriteBehind
from regseg_core.segmenter import Segmenter

_ABSENT = "does not occur: left out of the mean"


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


def write_submission(folder: Path, scored: Scored) -> None:
    """Writes what was predicted as Cityscapes' scorer wants it. Raises FileError."""
    ids = np.array(CITYSCAPES_LABEL_IDS.ids, np.uint8)[scored.predicted]
    write_image(folder / f"{Path(scored.title).stem}.png", ids)


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("evaluate", __doc__)
    parser.add_argument(
        "--data",
        required=True,
        help="folder in a known layout, or 'street' for the synthetic one",
    )
    parser.add_argument("--split", default="val", help="val, train or another")
    parser.add_argument("--flip", action="store_true", help="also see each image mirrored")
    parser.add_argument(
        "--scales", type=float, nargs="+", default=[1.0], help="factors of the size to see it at"
    )
    parser.add_argument(
        "--save-submission", type=Path, help="folder for Cityscapes' official label images"
    )
    parser.add_argument(
        "--reliability",
        type=Path,
        metavar="PNG",
        help="draw how often pixels are right against how sure the network is",
    )
    parser.add_argument("--json", type=Path, help="write the scores to this file too")
    parser.add_argument(
        "--against",
        metavar="OLD",
        help=f"weights to hold these against: a class may lose {CLASS_MAY_LOSE:g} point at most",
    )
    add_segmenter_options(parser)
    options = parser.parse_args(arguments)
    with errors_in_one_line(options.debug):
        if options.reliability:
            try:
                from regseg_core import figures
            except ImportError as error:
                raise ArgumentError(f"--reliability needs matplotlib ({error})") from error
        for file in filter(None, (options.json, options.reliability)):
            check_writable(file)
        if options.save_submission:
            check_folder(options.save_submission)
        segment, predict = _predict(options)
        if options.save_submission and segment.labels.names != CITYSCAPES.names:
            raise DataError("a submission is for weights with the classes of cityscapes")
        old = _old(options, segment.labels) if options.against else None
        images = open_split(options.data, options.split, segment.labels)
        scorer = Scorer(predict, images, segment.labels)
        with closing(iter(scorer)) as results, WriteBehind(predict.batch) as behind:
            for scored in results:
                if options.save_submission:
                    behind(partial(write_submission, options.save_submission, scored))
        scores = scorer.scores()
        print(format_scores(scores))
        print(f"{scores['images']} images, {scores['images_per_second']} segmented per second")
        if options.reliability:
            found = reliability(segment.network, images, segment.size)
            print(found.title)
            picture = figures.draw_reliability(found.curves(), found.title)
            figures.save_figure(options.reliability, picture)
        if options.json:
            where = {
                key: getattr(options, key) for key in ("weights", "data", "split", "scales", "flip")
            }
            write_bytes(options.json, (json.dumps({**where, **scores}, indent=1) + "\n").encode())
        if old is not None:
            before = evaluate(old[1], images, segment.labels)
            change = Change(segment.labels.names, *([*s["iou"].values()] for s in (before, scores)))
            print(change.table("old", "new"))
            change.refuse_if_worse()


def _predict(options: argparse.Namespace) -> tuple[Segmenter, Predict]:
    """What the options describe, ready to be scored."""
    segment = make_segmenter(options)
    if options.flip or options.scales != [1.0]:
        if options.backend not in ("auto", "eager"):
            raise ArgumentError(
                f"--flip and --scales are computed by PyTorch, not by {options.backend}: leave"
                " --backend out"
            )
        return segment, AveragedViews(segment, options.scales, options.flip)
    return segment, SingleView(segment)


def _old(options: argparse.Namespace, labels: LabelSet) -> tuple[Segmenter, Predict]:
    """The weights that the others are held against. Raises WorseError for other classes."""
    # Their card says what they are; what is given of the new ones is not for them.
    theirs = {"weights": options.against, "model": None, "labels": None}
    old, predict = _predict(argparse.Namespace(**vars(options) | theirs))
    refuse_others(old.labels, labels)
    return old, predict


if __name__ == "__main__":
    main()
