"""A folder of engines, shared by all processes of a user."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from regseg_core.backends.engine_file import EngineError, pack, read_payload
from regseg_core.backends.spec import key_of
from regseg_core.files import FileError, write_bytes

_LOG = logging.getLogger(__name__)

_SUFFIX = ".engine"


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/regseg`, by default `~/.cache/regseg`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regseg"


class EngineCache:
    """A folder of engine files, each under its key. `folder` None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get_or_build(
        self, identity: Mapping[str, object], build: Callable[[], bytes]
    ) -> tuple[bytes, bool]:
        """The kept payload, or a new one; and whether it was kept.

        Of several processes that ask at once, one builds and the others wait for it. What is
        damaged or foreign is built anew; where the folder cannot be written, nothing is kept and a
        warning says so.
        """
        if self.folder is None:
            return build(), False
        path = self.folder / f"{key_of(identity)}{_SUFFIX}"
        try:
            with _locked(path.with_suffix(".lock")):
                return self._read_or_build(path, identity, build)
        except FileError as error:
            _LOG.warning("compiled graphs are not kept: %s", error)
            return build(), False

    def _read_or_build(
        self, path: Path, identity: Mapping[str, object], build: Callable[[], bytes]
    ) -> tuple[bytes, bool]:
        if path.exists():
            try:
                return read_payload(path, identity), True
            except (EngineError, OSError) as error:
                _LOG.warning("compiling again: %s", error)
        payload = build()
        try:
            write_bytes(path, pack(identity, payload))
        except FileError as error:
            _LOG.warning("compiled graphs are not kept: %s", error)
        return payload, False

    def entries(self) -> list[Path]:
        """The engine files, oldest first."""
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(self.folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)

    def clear(self) -> int:
        """Deletes all engine files; returns how many there were."""
        paths = self.entries()
        for path in paths:
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)
        return len(paths)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise FileError(f"cannot lock {path}: {error.strerror or error}") from error
        yield
