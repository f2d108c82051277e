"""Compiled graphs on disk: data, not code; used again only where everything is as it was."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regseg_core.backends.spec import GraphSpec, key_of
from regseg_core.files import FileError, write_bytes

_LOG = logging.getLogger(__name__)

_MAGIC = b"regseg engine 1\n"
_SUFFIX = ".engine"

#: What has made a graph's compiled form, but is not needed to run it.
_MAKERS = ("torch", "torch_tensorrt")


class EngineError(ValueError):
    """A file of a compiled graph that cannot be used here, with the reason."""


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/regseg`, by default `~/.cache/regseg`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regseg"


def pack(identity: Mapping[str, object], payload: bytes) -> bytes:
    """The bytes of an engine file: a line of JSON, then the payload."""
    header = {"identity": identity, "sha256": hashlib.sha256(payload).hexdigest()}
    return _MAGIC + json.dumps(header).encode() + b"\n" + payload


def unpack(data: bytes) -> bytes:
    """The payload of what `pack` gave."""
    return data[len(_MAGIC) :].partition(b"\n")[2]


def read_identity(path: Path) -> dict[str, Any]:
    """What an engine file was made of.

    Raises FileNotFoundError, and EngineError for another or a damaged file.
    """
    with path.open("rb") as file:
        identity: dict[str, Any] = _read_header(path, file.read(1 << 16))["identity"]
    return identity


def read_payload(path: Path, identity: Mapping[str, object], carried: bool = False) -> bytes:
    """The payload of an engine file that was made of just that.

    One that was `carried` here from another machine may have been made by another PyTorch.
    Raises EngineError for one that is damaged or made of anything else, and says what differs.
    """
    data = path.read_bytes()
    header = _read_header(path, data)
    theirs, ours = (_plain(entry, carried) for entry in (header["identity"], identity))
    if theirs != ours:
        differ = _differences(theirs, ours)
        raise EngineError(f"{path} was compiled for something else: {differ}")
    payload = unpack(data)
    if hashlib.sha256(payload).hexdigest() != header["sha256"]:
        raise EngineError(f"{path} is damaged: its contents do not match its checksum")
    return payload


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


def _read_header(path: Path, data: bytes) -> dict[str, Any]:
    first, _, _ = data[len(_MAGIC) :].partition(b"\n")
    try:
        if not data.startswith(_MAGIC):
            raise ValueError
        header = json.loads(first)
        identity = header["identity"]
        GraphSpec(**identity["spec"]).title()
        if not isinstance(identity["made_by"]["backend"], str):
            raise TypeError
        if not isinstance(header["sha256"], str):
            raise TypeError
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path} is not a compiled graph, or a damaged one") from error
    return header  # type: ignore[no-any-return]


def _plain(identity: Mapping[str, Any], carried: bool) -> dict[str, Any]:
    made_by = identity.get("made_by", {})
    left_out = _MAKERS if carried else ()
    kept = {name: value for name, value in made_by.items() if name not in left_out}
    return {**identity, "made_by": kept}


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    found = []
    for name in sorted({*theirs, *ours}):
        old, new = theirs.get(name), ours.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            if old != new:
                found.append(_differences(old, new))
        elif old != new:
            found.append(f"{name} {old!r}, here {new!r}")
    return "; ".join(found)
