"""What the commands share: their parser, their options, and errors as one line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from regseg_core import zoo
from regseg_core.backends.choose import BACKENDS
from regseg_core.errors import RegSegError
from regseg_core.precision import PRECISIONS
from regseg_core.segmenter import Segmenter

DEBUG_HELP = "show the traceback of every error"


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but for those that stand for nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Of a command, and of its parts, which argparse makes of the same class."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)


def command_parser(
    name: str, description: str | None, package: str = "regseg_core"
) -> argparse.ArgumentParser:
    """The parser of `python -m <package>.<name>`."""
    parser = Parser(prog=f"python -m {package}.{name}", description=description)
    add_debug_option(parser)
    parser.set_defaults(debug=False)
    return parser


def add_debug_option(parser: argparse.ArgumentParser) -> None:
    """What `errors_in_one_line` asks for; to a parser of `command_parser` or one of its parts."""
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=DEBUG_HELP)


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number, not below `least`."""

    def number(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return number


def size(text: str) -> tuple[int, int]:
    """Parses HEIGHTxWIDTH."""
    if not (found := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 1024x2048")
    return int(found[1]), int(found[2])


def add_weights_options(parser: argparse.ArgumentParser) -> None:
    """Which weights."""
    parser.add_argument(
        "--weights",
        default=zoo.DEFAULT,
        help=f"a file, or shipped weights by name: {', '.join(zoo.names())}",
    )
    parser.add_argument("--model", help="network of weights without a card, such as regseg48")
    parser.add_argument("--labels", help="label set of weights without a card: name or YAML file")


def add_segmenter_options(parser: argparse.ArgumentParser) -> None:
    """Which weights run where."""
    add_weights_options(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", help=f"auto, {', '.join(PRECISIONS)}")
    parser.add_argument(
        "--backend", default="eager", help=f"what runs the graph: auto, {', '.join(BACKENDS)}"
    )


def make_segmenter(options: argparse.Namespace) -> Segmenter:
    """The segmenter that `add_segmenter_options` describe, said on the terminal."""
    segment = Segmenter(
        options.weights,
        options.device,
        precision=options.precision,
        model=options.model,
        labels=options.labels,
        backend=options.backend,
    )
    print(segment.description)
    return segment


@contextmanager
def errors_in_one_line(debug: bool = False) -> Iterator[None]:
    """Ends the program with the message of a file or argument that cannot be used.

    Other exceptions are bugs and keep their traceback; with `debug` all do.
    """
    try:
        yield
    except (RegSegError, OSError) as error:
        if debug:
            raise
        sys.exit(f"error: {error}")
