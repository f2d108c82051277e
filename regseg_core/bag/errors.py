"""What can be wrong with a bag."""

from __future__ import annotations

from regseg_core.errors import RegSegError


class BagError(RegSegError):
    """A bag of which nothing can be read."""


class MessageError(RegSegError):
    """A message whose bytes are not what its type says, with its topic and time."""
