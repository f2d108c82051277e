"""A file beside an engine's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from regseg_core.backends.engine_file import EngineError, pack, read_payload
from regseg_core.files import write_bytes


@dataclass(frozen=True)
class Beside:
    """What a backend learns as an engine runs, kept for the engine of that identity alone."""

    path: Path
    identity: Mapping[str, object]

    def read(self) -> bytes | None:
        """What was written; None where that is nothing, damaged or of another engine."""
        try:
            return read_payload(self.path, self.identity)
        except (EngineError, OSError):
            return None

    def write(self, data: bytes) -> None:
        """Replaces what was written. Raises FileError."""
        write_bytes(self.path, pack(self.identity, data))
