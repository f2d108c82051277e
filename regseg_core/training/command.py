"""A training configuration from YAML and the command line."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn

from jsonargparse import ArgumentParser, set_parsing_settings

from regseg_core.cli import DEBUG_HELP
from regseg_core.errors import ArgumentError
from regseg_core.training.config import TrainingConfig

set_parsing_settings(docstring_parse_attribute_docstrings=True)

_UNKNOWN = re.compile(r"unrecognized arguments: --([\w.-]+)|Option '([\w.-]+)' is not accepted")


@dataclass(frozen=True)
class Command:
    """What a command line asks for."""

    config: TrainingConfig
    #: A data set's folder, or `street`.
    data: str
    #: The run's folder.
    out: Path
    resume: bool
    debug: bool


class _Parser(ArgumentParser):
    """jsonargparse's parser, whose errors are one line and name the nearest valid field."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if found := _UNKNOWN.search(message):
            name = found[1] or found[2]
            message = f"there is no field {name!r}"
            near = self._nearest(name.replace("-", "_"))
            message += f"; did you mean {near!r}?" if near else "; --help lists all"
        message = message.replace("Parser key", "field")
        self.exit(2, f"error: {' '.join(message.split())}\n")

    def _nearest(self, name: str) -> str | None:
        known = [action.dest for action in self._actions]
        for near in difflib.get_close_matches(name, known, 1, 0.7):
            return near
        # It may have been looked for in the wrong group.
        by_last = {field.rpartition(".")[2]: field for field in known}
        for last in difflib.get_close_matches(name.rpartition(".")[2], by_last, 1, 0.6):
            return by_last[last]
        return None


def parse(name: str, description: str | None, arguments: list[str] | None) -> Command:
    """Parses every field of TrainingConfig, `--config FILE`, and what `Command` holds beside it.

    Ends the program for `--help`, `--print-config`, and fields that are missing, unknown,
    ill-typed or out of range.
    """
    parser = _Parser(
        prog=f"python -m regseg_core.{name}",
        description=description,
        print_config="--print-config",
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these fields")
    parser.add_argument(
        "--data", type=str | None, help="folder of the data set, or `street`: synthetic images"
    )
    parser.add_argument(
        "--out", type=str | None, help="folder of the run; null: runs/NAME_OF_THE_CONFIG"
    )
    parser.add_argument("--resume", action="store_true", help="go on from OUT/last.ckpt")
    parser.add_argument("--debug", action="store_true", help=DEBUG_HELP)
    parser.add_class_arguments(TrainingConfig, None)
    values = parser.parse_args(arguments)
    try:
        built = parser.instantiate(values)
        config = TrainingConfig(**{f.name: built[f.name] for f in fields(TrainingConfig)})
    except ArgumentError as error:
        parser.error(str(error))
    if values.data is None:
        parser.error("give --data, a data set's folder")
    configs = values.config or []
    name_of_run = Path(str(configs[-1])).stem if configs else "train"
    out = Path(values.out or f"runs/{name_of_run}")
    return Command(config, values.data, out, values.resume, values.debug)
