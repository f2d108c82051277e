"""Files and folders that are whole or not there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from regseg_core.errors import RegSegError


class FileError(RegSegError, OSError):
    """A file that cannot be read or written, with its path."""


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file beside its place, waits for the disk and renames it.

    Raises FileError; the file that was there is then still whole.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def made_beside(out: Path) -> Iterator[Path]:
    """An empty folder beside `out`, to be filled and renamed; what is left of it in the end goes.

    Raises FileError, also for an OSError from within: `out` cannot be written.
    """
    folder = out.absolute().with_name(f".{out.absolute().name}.partial")
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        folder.mkdir(parents=True)
    except OSError as error:
        raise FileError(f"cannot write {out}: {error.strerror or error}") from error
    try:
        yield folder
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_writable(path: Path) -> None:
    """Raises FileError where `write_bytes` could not write that file; for a look before long work.

    Leaves nothing behind: a folder that is missing is not made.
    """
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a folder")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Raises FileError where no file could be written into a folder, which may be missing.

    Leaves nothing behind.
    """
    folder = folder.absolute()
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise FileError(f"cannot write into {folder}: {error.strerror or error}") from error


def holds_something(folder: Path) -> bool:
    """Whether no new folder may be put there: something is in it, or it cannot be replaced.

    Neither a disk can, nor the folder in which this process runs.
    """
    if not folder.exists():
        return False
    fixed = not folder.is_dir() or folder.is_mount() or folder.samefile(Path.cwd())
    return fixed or any(folder.iterdir())


def clear_partial(folder: Path) -> None:
    """Deletes what a killed process was writing into a folder that no other one writes to."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)
