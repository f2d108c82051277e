"""Where the results of a machine are kept."""

from __future__ import annotations

import re
from pathlib import Path


def machine_folder(out: Path, title: str) -> Path:
    """The folder in `out` of the device with that title."""
    return out / re.sub(r"\W+", "-", title.lower()).strip("-")
