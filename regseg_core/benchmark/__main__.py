"""`python -m regseg_core.benchmark WHAT`: measurements against a baseline in the same run."""

from __future__ import annotations

from pathlib import Path

from regseg_core.benchmark import graph
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
            graph.run(
                options.device,
                options.out,
                options.cases,
                options.seconds,
                options.budget,
                options.data,
                options.frames,
            )


def _cases(text: str) -> list[tuple[int, int, int]]:
    return [
        (*size(sides), at_least(1)(batch))
        for sides, _, batch in (part.rpartition("x") for part in text.split())
    ]


if __name__ == "__main__":
    main()
