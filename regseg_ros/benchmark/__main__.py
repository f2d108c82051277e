"""Measures the whole node: a camera, the node and a sink over DDS, against the Segmenter alone."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import torch

from regseg_core.benchmark.machine import machine_folder
from regseg_core.cli import at_least, command_parser, errors_in_one_line, size
from regseg_core.data.synthetic import STREET
from regseg_core.device import device_title
from regseg_core.files import check_folder
from regseg_core.precision import PRECISIONS
from regseg_ros.benchmark.bench import Bench
from regseg_ros.benchmark.cases import CASES, DEFAULT
from regseg_ros.benchmark.load import PROFILES, TRANSPORTS, Load, rate_list
from regseg_ros.benchmark.rows import Rows
from regseg_ros.demo import ROOT
from regseg_ros.video_source import check_source

#: Real images where they are at hand.
_REAL = ROOT.parent / "shared" / "camvid"


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmark", __doc__, "regseg_ros")
    about = "; ".join(f"{name}: {case.question}" for name, case in CASES.items())
    parser.add_argument(
        "--cases", nargs="+", choices=CASES, default=[DEFAULT], metavar="CASE", help=about
    )
    parser.add_argument("--out", type=Path, help="folder for <machine>/node.json, tables and plots")
    parser.add_argument("--rates", help="of a sweep, as '5 10 20'; else shares of 1 / call")
    load = parser.add_argument_group("the load; what is given replaces what a case has")
    unset = argparse.SUPPRESS
    load.add_argument("--size", type=size, default=unset, help="HEIGHTxWIDTH of the frames")
    load.add_argument("--rate", type=float, default=unset, help="frames a second of each camera")
    load.add_argument("--encoding", default=unset, help="of the frames")
    load.add_argument("--transport", choices=TRANSPORTS, default=unset)
    load.add_argument("--cameras", type=at_least(1), default=unset)
    load.add_argument("--profile", choices=PROFILES, default=unset, help="of Fast DDS")
    load.add_argument("--backend", default=unset, help="auto, or one by name")
    load.add_argument("--precision", choices=("auto", *PRECISIONS), default=unset)
    load.add_argument("--seconds", type=float, default=unset, help="of each measurement")
    load.add_argument(
        "--data",
        default=str(_REAL) if _REAL.is_dir() else STREET,
        help="frames: a folder, a video, a data set, or street",
    )
    return parser


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    given = {name: value for name, value in vars(options).items() if name in _FIELDS}
    if "size" in options:
        given["height"], given["width"] = options.size
    with errors_in_one_line(options.debug):
        check_source(options.data)
        Load(**given)  # what is wrong is said before anything starts
        rates = rate_list(options.rates) if options.rates else None
        machine = device_title(torch.device("cpu"))
        folder = None
        if options.out is not None:
            check_folder(options.out)
            folder = machine_folder(options.out, machine)
        rows = Rows(machine, folder and folder / "node.json")
        try:
            with Bench(given, rates, folder, machine) as bench:
                for name in options.cases:
                    for row in CASES[name].run(bench):
                        rows.note(row)
        except KeyboardInterrupt:
            sys.exit("interrupted: what was measured until then is kept")
        if folder is not None:
            print(f"wrote {folder}")


_FIELDS = frozenset(Load.__dataclass_fields__)


if __name__ == "__main__":
    # As Ctrl-C, so that no node is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
