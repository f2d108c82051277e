"""`python -m regseg_core.train`: trains a network on labelled images."""

from __future__ import annotations

import shlex
import sys

try:
    import jsonargparse  # noqa: F401
    import lightning  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"training needs the extra `train`: pip install '.[train]' ({error})"
    ) from error

from regseg_core.cli import errors_in_one_line
from regseg_core.training.command import parse
from regseg_core.training.run import train


def main(arguments: list[str] | None = None) -> None:
    asked = parse("train", __doc__, arguments)
    command = shlex.join(["python", "-m", "regseg_core.train", *(arguments or sys.argv[1:])])
    with errors_in_one_line(asked.debug):
        weights = train(asked.config, asked.data, asked.out, asked.resume, command)
    print(f"wrote {weights} and pictures in {weights.parent / 'report'}")


if __name__ == "__main__":
    main()
