"""`python -m regseg_core.benchmark WHAT`: measurements against a baseline in the same run."""

from __future__ import annotations

from pathlib import Path

from regseg_core.benchmark import gpu
from regseg_core.cli import add_debug_option, at_least, command_parser, errors_in_one_line, size
from regseg_core.files import check_folder


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("benchmark", __doc__)
    what = parser.add_subparsers(dest="what", required=True)
    loading = what.add_parser("loader", help="how fast training images come")
    loading.add_argument(
        "--rounds", type=at_least(1), default=5, help="measurements of each, interleaved"
    )
    loading.add_argument("--workers", type=at_least(0), default=2, help="loader processes")
    loading.add_argument("--out", type=Path, help="folder for loader.json and loader.png")
    speed = what.add_parser("gpu", help="speed of every backend, against the roofline")
    speed.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    speed.add_argument("--sizes", type=_sizes, help="such as '512x1024 720x960'")
    speed.add_argument("--seconds", type=float, default=0.8, help="of each measurement")
    speed.add_argument("--out", type=Path, help="folder for <device>/graph.json and plots")
    for part in (loading, speed):
        add_debug_option(part)
    options = parser.parse_args(arguments)
    with errors_in_one_line(options.debug):
        if options.out is not None:
            check_folder(options.out)
        if options.what == "loader":
            # Needs the trainer's packages, which a machine with a GPU may lack.
            from regseg_core.benchmark import loader

            loader.run(options.rounds, options.workers, options.out)
        else:
            gpu.run(options.device, options.out, options.sizes, options.seconds)


def _sizes(text: str) -> list[tuple[int, int]]:
    return [size(part) for part in text.split()]


if __name__ == "__main__":
    main()
