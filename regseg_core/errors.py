"""The base of every error whose message is for the person who gave the input."""

from __future__ import annotations

from collections.abc import Collection


class RegSegError(Exception):
    """Something given cannot be used: the message says what is wrong, and what to give instead.

    Commands print it as one line. Any other exception is a bug or the machine's, and shows its
    traceback.
    """


class ArgumentError(RegSegError, ValueError):
    """An argument, option or setting that is unknown or out of range."""


class FrameError(RegSegError, ValueError):
    """A frame that cannot be segmented."""


class WeightsError(RegSegError, ValueError):
    """Weights that cannot be used, with every reason found."""


def some_of(names: Collection[str], most: int = 3) -> str:
    """The first of many names, for a message."""
    return ", ".join([*names][:most]) + ", ..." * (len(names) > most)
