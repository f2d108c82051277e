"""`python -m regseg_core.benchmark WHAT`: measurements against a baseline in the same run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from regseg_core.benchmark import graph, networks
from regseg_core.benchmark.network_table import Row
from regseg_core.cli import add_debug_option, at_least, command_parser, errors_in_one_line, size
from regseg_core.device import choose_device, device_title
from regseg_core.errors import ArgumentError, RegSegError
from regseg_core.files import check_folder
from regseg_core.model.registry import NETWORKS

Result = TypeVar("Result")


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("benchmark", __doc__)
    what = parser.add_subparsers(dest="what", required=True)
    loading = what.add_parser("loader", help="how fast training images come")
    loading.add_argument(
        "--rounds", type=at_least(1), default=5, help="measurements of each, interleaved"
    )
    loading.add_argument("--workers", type=at_least(0), default=2, help="loader processes")
    loading.add_argument("--out", type=Path, help="folder for loader.json and loader.png")
    speed = what.add_parser("graph", help="is every backend right, and how fast")
    speed.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    speed.add_argument("--cases", type=_cases, help="such as '512x1024x1 720x960x4': H, W, batch")
    speed.add_argument("--seconds", type=float, default=0.8, help="of each measurement")
    speed.add_argument(
        "--budget", type=float, default=1500.0, help="seconds after which nothing is begun"
    )
    speed.add_argument("--data", default="street", help="data set whose images are compared on")
    speed.add_argument("--frames", type=at_least(1), default=1000, help="for the look at memory")
    speed.add_argument("--out", type=Path, help="folder for <device>/graph.json and plots")
    beside = what.add_parser("networks", help="all networks beside one another")
    beside.add_argument("--device", default="auto", help="auto, cuda, cuda:N or cpu")
    beside.add_argument("--sizes", type=_sizes, default="512x1024", help="'512x1024 360x480'")
    beside.add_argument(
        "--names", nargs="+", choices=NETWORKS, metavar="NETWORK", help="some instead of all"
    )
    beside.add_argument("--rounds", type=at_least(1), default=5, help="over all, interleaved")
    beside.add_argument("--data", help="data set to train each network on for a while")
    beside.add_argument("--minutes", type=float, default=15.0, help="of training steps of each")
    beside.add_argument("--config", type=Path, help="the recipe of these trainings, YAML")
    beside.add_argument("--scale", type=float, default=1.0, help="shrinks the data first")
    beside.add_argument("--out", type=Path, help="folder for <device>/networks.json and plots")
    for part in (loading, speed, beside):
        add_debug_option(part)
    options = parser.parse_args(arguments)
    with errors_in_one_line(options.debug):
        if options.out is not None:
            check_folder(options.out)
        if options.what == "loader":
            # Needs the trainer's packages, which a machine with a GPU may lack.
            from regseg_core.benchmark import loader

            loader.run(options.rounds, options.workers, options.out)
        elif options.what == "networks":
            _networks(options)
        else:
            graph.run(
                options.device,
                options.out,
                options.cases,
                options.seconds,
                options.budget,
                options.data,
                options.frames,
            )


def _networks(options: argparse.Namespace) -> None:
    if options.data is not None and options.out is None:
        raise ArgumentError("trainings need --out: their runs are kept there")
    training = None
    if options.data is not None:
        # Needs the trainer's packages.
        from regseg_core.benchmark import accuracy

        training = accuracy.Training(
            options.data, options.config, options.minutes, options.scale, options.out
        )
    rows = networks.run(options.device, options.out, options.names, options.sizes, options.rounds)
    if training is None:
        return
    by_network: dict[str, list[Row]] = {}
    for row in rows:
        by_network.setdefault(row.network, []).append(row)
    timed = {
        name
        for name, same in tqdm(by_network.items(), "timing steps")
        if _attempt(same, partial(training.time, name)) is not None
    }
    for name, same in by_network.items():
        found = _attempt(same, partial(training.score, name)) if name in timed else None
        if found is not None:
            for row in same:
                row.miou, row.epochs = found
        networks.write(rows, device_title(choose_device(options.device)), options.out)


def _attempt(rows: Sequence[Row], measure: Callable[[], Result]) -> Result | None:
    """What it gives; None where a network cannot train, which its rows note: the next one may."""
    try:
        return measure()
    except (RegSegError, RuntimeError, ValueError) as error:
        for row in rows:
            row.left_out.append(f"training: {error}")
        return None


def _sizes(text: str) -> list[tuple[int, int]]:
    return [size(part) for part in text.split()]


def _cases(text: str) -> list[tuple[int, int, int]]:
    return [
        (*size(sides), at_least(1)(batch))
        for sides, _, batch in (part.rpartition("x") for part in text.split())
    ]


if __name__ == "__main__":
    main()
