"""`python -m regseg_core.benchmark WHAT`: measurements against a baseline in the same run."""

from __future__ import annotations

from pathlib import Path

from regseg_core.benchmark import loader
from regseg_core.cli import command_parser, errors_in_one_line


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("benchmark", __doc__)
    what = parser.add_subparsers(dest="what", required=True)
    loading = what.add_parser("loader", help="how fast training images come")
    loading.add_argument("--rounds", type=int, default=5, help="measurements of each, interleaved")
    loading.add_argument("--workers", type=int, default=2, help="loader processes")
    loading.add_argument("--out", type=Path, help="folder for loader.json and loader.png")
    options = parser.parse_args(arguments)
    with errors_in_one_line():
        loader.run(options.rounds, options.workers, options.out)


if __name__ == "__main__":
    main()
