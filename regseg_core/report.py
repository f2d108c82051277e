"""`python -m regseg_core.report RUN`: pictures of a training run."""

from __future__ import annotations

from pathlib import Path

from regseg_core.cli import command_parser, errors_in_one_line
from regseg_core.segmenter import Segmenter
from regseg_core.training.report import write_report
from regseg_core.training.run import read_config


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("report", __doc__)
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--data", help="the run's data, where they have moved")
    options = parser.parse_args(arguments)
    with errors_in_one_line(options.debug):
        config = read_config(options.run)
        segment = Segmenter(options.run / "weights.safetensors", backend="eager")
        print(segment.description)
        for path in write_report(
            options.run, segment, options.data or config["data"], config["dataset"]["val"]
        ):
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
