"""One line of what the doctor finds."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is, with the colour that a terminal shows it in. FAIL: no masks, or wrong ones."""

    OK = "\033[32m"
    WARN = "\033[33m"
    FAIL = "\033[31m"


@dataclass(frozen=True)
class Verdict:
    """What was looked at, and what was found: where it is not OK with what to do."""

    level: Level
    subject: str
    text: str


def ok(subject: str, text: str) -> Verdict:
    return Verdict(Level.OK, subject, text)


def warn(subject: str, text: str) -> Verdict:
    return Verdict(Level.WARN, subject, text)


def fail(subject: str, text: str) -> Verdict:
    return Verdict(Level.FAIL, subject, text)


def show(verdicts: Iterable[Verdict]) -> int:
    """Prints them, one a line; returns the exit code: 1 where one is FAIL."""
    colours, code = sys.stdout.isatty(), 0
    for verdict in verdicts:
        word = f"{verdict.level.name:4}"
        if colours:
            word = f"{verdict.level.value}{word}\033[0m"
        print(f"{word}  {verdict.subject:10} {verdict.text}")
        code |= verdict.level is Level.FAIL
    return int(code)
