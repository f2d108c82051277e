"""A folder of engines, shared by all processes of a user."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO, TypeVar

from regseg_core.backends.base import BackendError
from regseg_core.backends.beside import Beside
from regseg_core.backends.engine_file import EngineError, pack, read_payload
from regseg_core.backends.spec import key_of
from regseg_core.files import FileError, write_bytes

_LOG = logging.getLogger("regseg_core")

_SUFFIX = ".engine"

#: Of files beside an engine's: what it learns while it runs, and why it was not kept.
_LEARNT, _REFUSED = ".learnt", ".refused"

#: Of files of how long each kernel took on a GPU, which shorten the next compilation.
TIMINGS = ".timings"

#: Seconds for which an engine that did not load is not built again.
_REST = 24 * 3600.0

#: Seconds between two looks whether another process is done.
_LOOK = 0.1

Opened = TypeVar("Opened")


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/regseg`, by default `~/.cache/regseg`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regseg"


class EngineCache:
    """A folder of engine files, each under its key. `folder` None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def open(
        self,
        identity: Mapping[str, object],
        build: Callable[[], bytes],
        load: Callable[[bytes], Opened],
        look: Callable[[], None] = lambda: None,
    ) -> Opened:
        """What `load` makes of the kept payload, or of a new one.

        A payload is kept once it has been loaded. What is damaged, foreign or cannot be loaded is
        built anew, once; raises what `build` raises, and `load` of a new payload. Where that is a
        BackendError it is raised again for a day, without building. Of several processes that ask
        at once, one builds and the others wait for it; `look` is called now and then meanwhile, and
        may raise. Where the folder cannot be written, nothing is kept and a warning says so.
        """
        if self.folder is None:
            return load(build())
        path = self.folder / f"{key_of(identity)}{_SUFFIX}"
        tried = _read(path, identity)
        if tried is not None:
            try:
                return load(tried)
            except Exception as error:
                _LOG.warning("compiling again: %s cannot be loaded: %s", path, error)
        try:
            lock = _lock(path.with_suffix(".lock"), look)
        except FileError as error:
            _LOG.warning("compiled graphs are not kept: %s", error)
            return load(build())
        with lock:
            kept = _read(path, identity)
            if kept is not None and kept != tried:  # another process has built it meanwhile
                return load(kept)
            _refuse_again(path.with_suffix(_REFUSED))
            payload = build()
            try:
                opened = load(payload)
            except BackendError as error:
                _note_refusal(path.with_suffix(_REFUSED), error)
                raise
            try:
                write_bytes(path, pack(identity, payload))
            except FileError as error:
                _LOG.warning("compiled graphs are not kept: %s", error)
            return opened

    def beside(self, identity: Mapping[str, object]) -> Beside | None:
        """Where what the engine of that identity learns is kept; None where nothing is."""
        if self.folder is None:
            return None
        return Beside(self.folder / f"{key_of(identity)}{_LEARNT}", identity)

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
        if self.folder is not None:
            for suffix in (_LEARNT, _REFUSED, TIMINGS):
                for path in self.folder.glob(f"*{suffix}"):
                    path.unlink(missing_ok=True)
        return len(paths)


def _read(path: Path, identity: Mapping[str, object]) -> bytes | None:
    try:
        return read_payload(path, identity)
    except FileNotFoundError:
        return None
    except (EngineError, OSError) as error:
        _LOG.warning("compiling again: %s", error)
        return None


def _refuse_again(path: Path) -> None:
    """Raises BackendError where an engine of that name did not load within the last day."""
    try:
        reason, age = path.read_text(), time.time() - path.stat().st_mtime
    except OSError:
        return
    if abs(age) < _REST:  # a robot's clock may have been set since
        raise BackendError(
            f"{reason} (it is not compiled again for a day, or until"
            " `python -m regseg_core.compile --clear`)"
        )


def _note_refusal(path: Path, error: BackendError) -> None:
    with contextlib.suppress(FileError):
        write_bytes(path, str(error).encode())


def _lock(path: Path, look: Callable[[], None]) -> TextIO:
    """A file that no other process has locked, until it is closed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    with ExitStack() as undo:
        undo.enter_context(file)
        waits = False
        while not _try_lock(file):
            if not waits:
                _LOG.info("waiting for another process that compiles %s", path.stem[:12])
                waits = True
            look()
            time.sleep(_LOOK)
        undo.pop_all()
    return file


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise FileError(f"cannot lock {file.name}: {error.strerror or error}") from error
    return True
