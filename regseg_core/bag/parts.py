"""A bag that is written in parts: whatever ends it, those that are done stay, and it goes on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from ruamel.yaml import YAML

from regseg_core.bag.errors import BagError
from regseg_core.bag.recording import Position
from regseg_core.files import write_bytes

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
_SUFFIXES = {"mcap": ".mcap", "sqlite3": ".db3"}

#: A part is done when it holds so many bytes, or after so many seconds of work: the most that can
#: be lost.
_BYTES, SECONDS = 512 << 20, 120.0

#: What makes a folder a bag, and what a labelling notes beside it.
METADATA, JOURNAL = "metadata.yaml", "labelling.json"


@dataclass(frozen=True)
class Channel:
    """A topic as it is written. `definition` and `digest`: of its type, as rosbags has them."""

    topic: str
    msgtype: str
    definition: str
    digest: str
    qos: tuple[Qos, ...] = ()


def unfinished(out: Path) -> Path:
    """Where a bag is written until it is whole."""
    return out.with_name(f"{out.name}.part")


def read_journal(place: Path | str, read: Callable[[], bytes]) -> dict[str, Any]:
    """What was asked for and noted of the bag at that place; `read` gives the file of its journal.

    Raises BagError where there is none, or a damaged one.
    """
    try:
        found: dict[str, Any] = json.loads(read())
        after = found["after"]
        if not all(isinstance(found[key], dict) for key in ("asked", "notes")):
            raise TypeError
        if after is not None:
            Position(**after)
    except FileNotFoundError as error:
        raise BagError(f"{place} is no labelled bag: give another place, or delete it") from error
    except (ValueError, LookupError, TypeError) as error:
        raise BagError(f"{place}/{JOURNAL} is damaged: delete {place}") from error
    return found


def refuse_others(place: Path | str, journal: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raises BagError where something of what is asked was another thing then."""
    theirs, ours = journal["asked"], json.loads(json.dumps(asked))
    if changed := [key for key in ours if ours[key] != theirs.get(key)]:
        raise BagError(
            f"{place} was made with another {', '.join(changed)}: go on with what it was made with,"
            " or delete it"
        )


class Parts:
    """Writes the bag `out`, which is there once `finish` is called.

    Until then its parts are in the folder beside it, which one process at a time has. `asked`: what
    is written; one that was begun with something else is refused. With `resume` one that was begun
    goes on: `after` is where in the input, and `notes` what was noted with the last whole part.
    `latched`: what each part begins with, by topic, made of the time of its first message.
    `seconds`: of work in a part at most. Use as a context manager. Raises BagError where `out` is
    there, is being written, or was begun and is not to go on, and OSError.
    """

    def __init__(
        self,
        out: Path,
        storage: str,
        channels: Sequence[Channel],
        asked: Mapping[str, Any],
        latched: Mapping[str, Callable[[int], bytes | memoryview]],
        resume: bool = False,
        seconds: float = SECONDS,
    ) -> None:
        self._latched, self._seconds = latched, seconds
        self._out, self._folder, self._storage = out, unfinished(out), storage
        self._channels = {channel.topic: channel for channel in channels}
        self._writer: Writer | None = None
        self._connections: dict[str, Connection] = {}
        self.after: Position | None = None
        self.notes: dict[str, Any] = {}
        self._journal: dict[str, Any] = {"asked": dict(asked), "parts": []}
        if out.exists():
            raise BagError(f"{out} is there already: give another place, or delete it")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / "lock").open("w")
        try:
            self._claim(resume)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            with suppress(Exception):  # sqlite3 refuses another thread than the one that wrote
                self._writer.abort()
        self._lock.close()

    @property
    def is_new(self) -> bool:
        """Whether no part is whole yet."""
        return not self._journal["parts"]

    def write(self, topic: str, time_ns: int, data: bytes | memoryview) -> None:
        """One message, of one of the channels. Raises BagError where the storage refuses it."""
        writer = self._writer or self._begin()
        with self._named():
            if self._bytes == 0:
                for name, make in self._latched.items():
                    writer.write(self._connections[name], time_ns, make(time_ns))
            writer.write(self._connections[topic], time_ns, data)
        self._bytes += len(data)

    def reached(self, after: Position, notes: Mapping[str, Any]) -> None:
        """All up to there is written, and noted: a part may end here."""
        self.after, self.notes = after, dict(notes)
        full = self._writer is not None and (
            self._bytes >= _BYTES or time.monotonic() - self._began >= self._seconds
        )
        if full:
            self._end()

    def finish(self, notes: Mapping[str, Any]) -> None:
        """Makes the bag of its parts."""
        self.notes = dict(notes)
        if self._writer is not None or self.is_new:
            self._end()
        metadata = merged([part["metadata"] for part in self._journal["parts"]])
        text = StringIO()
        yaml = YAML(typ="safe")
        yaml.default_flow_style = False
        yaml.dump({"rosbag2_bagfile_information": metadata}, text)
        self._keep_journal()
        write_bytes(self._folder / METADATA, text.getvalue().encode())
        (self._folder / "lock").unlink()
        self._folder.rename(self._out)

    def _begin(self) -> Writer:
        shutil.rmtree(self._current, ignore_errors=True)
        # Of this version Humble and all newer ones read the metadata.
        writer = Writer(self._current, version=8, storage_plugin=STORAGES[self._storage])
        if self._storage == "mcap":
            writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        writer.open()
        self._connections = {
            channel.topic: writer.add_connection(
                channel.topic,
                channel.msgtype,
                msgdef=channel.definition,
                rihs01=channel.digest,
                offered_qos_profiles=channel.qos,
            )
            for channel in self._channels.values()
        }
        self._writer, self._bytes, self._began = writer, 0, time.monotonic()
        return writer

    def _end(self) -> None:
        """The part that is written becomes one of the bag's."""
        writer = self._writer or self._begin()
        with self._named():
            writer.close()
        self._writer = None
        suffix = _SUFFIXES[self._storage]
        file = f"{self._out.name}_{len(self._journal['parts'])}{suffix}"
        with (self._current / METADATA).open() as text:
            metadata = YAML(typ="safe").load(text)["rosbag2_bagfile_information"]
        metadata["relative_file_paths"] = [file]
        metadata["files"][0]["path"] = file
        written = self._current / f"{self._current.name}{suffix}"
        with written.open("rb") as whole:
            os.fsync(whole.fileno())
        written.rename(self._folder / file)
        self._journal["parts"].append({"metadata": metadata})
        self._keep_journal()
        shutil.rmtree(self._current)

    def _keep_journal(self) -> None:
        self._journal["after"] = None if self.after is None else asdict(self.after)
        self._journal["notes"] = self.notes
        write_bytes(self._folder / JOURNAL, (json.dumps(self._journal, indent=1) + "\n").encode())

    def _claim(self, resume: bool) -> None:
        """Makes sure that nobody else writes it, and goes on where it was begun."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BagError(f"{self._folder} is being written by another process") from error
        if not (self._folder / JOURNAL).exists():
            return  # no part of it was whole
        if not resume:
            raise BagError(
                f"{self._folder} is the beginning of this bag: give --resume to go on, or delete it"
            )
        found = read_journal(self._folder, (self._folder / JOURNAL).read_bytes)
        refuse_others(self._folder, found, self._journal["asked"])
        after = found["after"]
        self.after = None if after is None else Position(**after)
        self.notes, self._journal = dict(found["notes"]), found

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What the storage refuses as a BagError."""
        try:
            yield
        except sqlite3.Error as error:
            raise BagError(f"cannot write {self._folder}: {error}") from error

    @property
    def _current(self) -> Path:
        return self._folder / "current"


def merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """rosbag2's metadata of a bag of several files, from those of its files."""
    filled = [part for part in parts if part["message_count"]] or list(parts[:1])
    starts = [part["starting_time"]["nanoseconds_since_epoch"] for part in filled]
    ends = [
        start + part["duration"]["nanoseconds"] for start, part in zip(starts, filled, strict=True)
    ]
    counts: dict[str, dict[str, Any]] = {}
    for part in parts:
        for entry in part["topics_with_message_count"]:
            known = counts.setdefault(
                entry["topic_metadata"]["name"], {**entry, "message_count": 0}
            )
            known["message_count"] += entry["message_count"]
    return {
        **parts[0],
        "relative_file_paths": [path for part in parts for path in part["relative_file_paths"]],
        "files": [file for part in parts for file in part["files"]],
        "message_count": sum(part["message_count"] for part in parts),
        "starting_time": {"nanoseconds_since_epoch": min(starts)},
        "duration": {"nanoseconds": max(ends) - min(starts)},
        "topics_with_message_count": list(counts.values()),
    }
