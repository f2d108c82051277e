"""What a parameter says of itself: one field each, with its default and what it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

#: When a parameter is read.
AT_START = "Read when the process starts."
ONCE = "Read once, at the start or when the node is configured."
AT_LOADING = "Read when the node is configured, and by ~/load_weights."
LIVE = "May change while the node runs."


@dataclass(frozen=True)
class Described:
    """What a field says of itself beside its default."""

    description: str
    #: Least and greatest value of a number.
    limits: tuple[float, float] | None = None
    #: The only values there are.
    choices: tuple[Any, ...] = ()
    #: Whether the parameter takes values of any type.
    any_type: bool = False
    read: str = ONCE


def parameter(default: Any, description: str, **more: Any) -> Any:
    """A field of a settings class; `more`: of `Described`."""
    return field(default=default, metadata={"described": Described(description, **more)})


def described(settings: type[Any]) -> Mapping[str, tuple[Any, Described]]:
    """Default and description of every parameter of a settings class, in order."""
    return {f.name: (f.default, f.metadata["described"]) for f in fields(settings)}
