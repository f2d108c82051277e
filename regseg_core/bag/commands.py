"""The parts `label` and `mine` of `python -m regseg_core.bag`.

Each `run_...` returns what was amiss, a line each.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from regseg_core import zoo
from regseg_core.bag.label import Labelling, recipe
from regseg_core.bag.mine import SHEET, mine
from regseg_core.bag.outgoing import OUTPUT_NAMES
from regseg_core.bag.parts import STORAGES
from regseg_core.cli import add_segmenter_options, at_least, make_segmenter
from regseg_core.errors import ArgumentError
from regseg_core.files import check_folder
from regseg_core.labels import BUILT_IN, LabelSet
from regseg_core.mining.likeness import MIN_DISTANCE
from regseg_core.mining.uncertainty import UNCERTAINTIES

#: Options of `label` that mean nothing without --ray, and what `Workers` calls them.
_FLEET = {"workers": "count", "cpus": "cpus", "gpus": "gpus"}


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """What `run_label` asks for."""
    parser.add_argument(
        "source", help="a bag: its folder, or an .mcap or .db3 file; with --ray a pattern of bags"
    )
    parser.add_argument("out", help="folder of the new bag; with --ray that of all of them")
    _add_topics(parser)
    parser.add_argument(
        "--outputs",
        nargs="+",
        choices=OUTPUT_NAMES,
        default=["label", "mask"],
        metavar="OUTPUT",
        help=f"of {', '.join(OUTPUT_NAMES)}",
    )
    parser.add_argument("--storage", choices=STORAGES, default="mcap", help="of the new bag")
    parser.add_argument(
        "--all-topics", action="store_true", help="the bag's own messages come along"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where a labelling was interrupted"
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="label many bags on a cluster, or local")
    parser.add_argument("--workers", type=at_least(1), help="with --ray: networks (default: 1)")
    parser.add_argument("--cpus", type=float, help="with --ray: cores of each (default: 1)")
    parser.add_argument("--gpus", type=float, help="with --ray: GPUs of each (default: 0)")
    add_segmenter_options(parser)
    parser.set_defaults(backend="auto")


def run_label(options: argparse.Namespace) -> list[str]:
    """Raises as `Labelling` does, and `label_fleet`; ArgumentError for workers without Ray."""
    if options.ray is not None:
        return _run_fleet(options)
    if given := [f"--{name}" for name in _FLEET if getattr(options, name) is not None]:
        raise ArgumentError(f"{', '.join(given)} without --ray: give --ray local too, or neither")
    out = Path(options.out)
    check_folder(out.parent)
    report = _labelling(options)(Path(options.source), out, options.topics, options.resume)
    print(f"wrote {out}: {report.title}")
    return report.flaws


def _run_fleet(options: argparse.Namespace) -> list[str]:
    try:
        from regseg_core.bag.fleet import Workers, label_fleet
    except ImportError as error:
        raise ArgumentError(f'--ray needs Ray: pip install ".[fleet]" ({error})') from error
    # Workers run elsewhere; what is wrong is said before they start.
    if options.weights not in zoo.names():
        options.weights = str(zoo.find(options.weights).absolute())
    if options.labels is not None and options.labels not in BUILT_IN:
        LabelSet.from_yaml(options.labels)
        options.labels = str(Path(options.labels).absolute())
    given = {field: getattr(options, name) for name, field in _FLEET.items()}
    workers = Workers(**{field: value for field, value in given.items() if value is not None})
    make = partial(_labelling, options, quiet=True)
    asked = recipe(options.outputs, options.all_topics, options.storage, zoo.find(options.weights))
    reports = label_fleet(
        options.source, options.out, make, workers, options.topics, options.ray, asked
    )
    print(f"labelled {sum(not report.failure for report in reports)} of {len(reports)} bags")
    return [report.title for report in reports if report.failure or report.flaws]


def _labelling(options: argparse.Namespace, quiet: bool = False) -> Labelling:
    return Labelling(
        make_segmenter(options), options.outputs, options.all_topics, options.storage, quiet
    )


def add_mine_options(parser: argparse.ArgumentParser) -> None:
    """What `run_mine` asks for."""
    parser.add_argument("bags", nargs="+", type=Path, help="folders, or .mcap or .db3 files")
    parser.add_argument("--count", type=at_least(1), default=500, help="of frames")
    parser.add_argument("--by", choices=UNCERTAINTIES, default="entropy", help="what is unsure")
    parser.add_argument(
        "--min-distance", type=float, default=MIN_DISTANCE, help="of two frames, 0 to 1"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the new pool")
    _add_topics(parser)
    add_segmenter_options(parser)


def run_mine(options: argparse.Namespace) -> list[str]:
    """Raises as `mine` does."""
    check_folder(options.out.resolve().parent)
    mined = mine(
        make_segmenter(options),
        options.bags,
        options.out,
        options.count,
        options.by,
        options.min_distance,
        options.topics,
    )
    print(f"{mined.title}: {options.out}, and look at {options.out / SHEET}")
    return mined.flaws


def _add_topics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--topics",
        nargs="+",
        default=[],
        metavar="[NAME=]TOPIC",
        help="image topics, raw or compressed; by default all that a bag has",
    )
