"""Where a fleet's bags are: folders of this machine, or of an object store that Arrow reaches."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

import pyarrow
from pyarrow import fs

from regseg_core.bag.errors import BagError
from regseg_core.bag.parts import JOURNAL, METADATA, read_journal
from regseg_core.files import write_bytes

_FILES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")

#: What a recorder that was killed leaves beside a .db3 file.
_LOGS = ("-wal", "-journal")

_WILD = re.compile(r"[*?\[]")

#: Scheme and authority, path, and query of an address. In a pattern a ? may also be any character:
#: a query begins with a name and =.
_ADDRESS = re.compile(r"(?s)([^:/]+://[^/?]*)(.*?)(\?\w+=.*)?")


@dataclass(frozen=True)
class Found:
    """A bag: its place, as a path or address, and its name below what was searched."""

    place: str
    name: str


def find_bags(pattern: str, out: str = "") -> list[Found]:
    """All bags that a pattern fits, such as `logs/**/*.mcap` or `s3://bucket/logs/**?region=eu`.

    It may fit the folders of bags or files in them; a file that has no folder of a bag around it is
    a bag by itself. What lies in `out`, or in a folder of a bag that is not whole yet, is left out.
    Raises BagError where there are none, `out` is where they are, or two would be in one place.
    """
    base, wild = split(pattern)
    filesystem, root = _opened(base)
    made = _made(out, filesystem, root) if out else None
    if made == ".":
        raise BagError(f"{out} is where the bags are: give another folder for their labels")
    selector = fs.FileSelector(root, recursive=True, allow_not_found=True)
    there = {
        entry.path
        for entry in filesystem.get_file_info(selector)
        if ".part/" not in (below := f"{_below(root, entry.path)}/")
        and not (made and below.startswith(f"{made}/"))
    }
    folders = {entry.rpartition("/")[0] for entry in there if entry.endswith(f"/{METADATA}")}
    fits = re.compile(_expression(wild))
    bags: dict[str, None] = {}
    for entry in sorted(there):
        if not fits.fullmatch(_below(root, entry)):
            continue
        folder = entry.rpartition("/")[0]
        if entry in folders:
            bags[entry] = None
        elif entry.endswith(_FILES):
            bags[folder if folder in folders else entry] = None
    if not bags:
        raise BagError(f"no bag fits {pattern}: give the path of bags, or of .mcap or .db3 files")
    base = base if is_remote(base) else root
    names = [_below(root, bag) for bag in bags]
    found = [Found(joined(base, name), _name(name)) for name in names]
    _check_names(found)
    return found


def local_copy(place: str, folder: Path) -> Path:
    """The bag on this machine: itself, or a copy in that folder. Raises OSError."""
    filesystem, path = _opened(place)
    if not is_remote(place):
        return Path(path)
    copy = folder / path.rpartition("/")[2]
    is_folder = filesystem.get_file_info(path).type == fs.FileType.Directory
    (copy if is_folder else folder).mkdir(parents=True, exist_ok=True)
    beside = [f"{path}{suffix}" for suffix in _LOGS]
    logs = [file.path for file in filesystem.get_file_info(beside) if file.is_file]
    for file in [path, *logs]:
        target = folder / file.rpartition("/")[2]
        fs.copy_files(file, str(target), source_filesystem=filesystem)
    return copy


def is_remote(place: str) -> bool:
    """Whether it is the address of an object store."""
    return "://" in place


def is_finished(place: str) -> bool:
    """Whether a whole bag is there."""
    filesystem, path = _opened(place)
    return bool(filesystem.get_file_info(f"{path}/{METADATA}").type == fs.FileType.File)


def journal_of(place: str) -> dict[str, Any]:
    """What was asked for and noted of a bag there. Raises BagError where nothing can be read."""
    filesystem, path = _opened(place)

    def read() -> bytes:
        with filesystem.open_input_stream(f"{path}/{JOURNAL}") as file:
            return bytes(file.read())

    return read_journal(place, read)


@contextmanager
def attempt(place: str, most: int, run: str, worker: str) -> Iterator[None]:
    """While a bag is made there: notes, in a file beside it, who began and came to no end.

    Raises BagError where so many workers of the same run did. Those of other runs do not count: it
    may have been the run that was ended.
    """
    filesystem, path = _opened(place)
    note = f"{path}.attempts"
    begun: list[str] = []
    if filesystem.get_file_info(note).type == fs.FileType.File:
        with filesystem.open_input_stream(note) as file:
            text = file.read().decode(errors="replace")
        begun = [line for line in text.splitlines() if line.startswith(f"{run} ")]
    if len(begun) >= most:
        died = ", ".join(line.removeprefix(f"{run} ") for line in begun)
        raise BagError(f"{len(begun)} workers died of it ({died}): label it alone, to see why")
    filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    with filesystem.open_output_stream(note) as file:
        file.write("".join(f"{line}\n" for line in [*begun, f"{run} {worker}"]).encode())
    try:
        yield
    finally:  # a worker that dies does not come here
        filesystem.delete_file(note)


def deliver(bag: Path, place: str) -> None:
    """Copies a bag there, what makes it whole last. Raises OSError."""
    filesystem, path = _opened(place)
    filesystem.create_dir(path, recursive=True)
    for file in sorted(bag.iterdir(), key=lambda file: file.name == METADATA):
        fs.copy_files(str(file), f"{path}/{file.name}", destination_filesystem=filesystem)


def write(place: str, data: bytes) -> None:
    """A file of that address or path. Raises OSError."""
    filesystem, path = _opened(place)
    if not is_remote(place):
        write_bytes(path, data)
        return
    filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    with filesystem.open_output_stream(path) as file:
        file.write(data)


def split(pattern: str) -> tuple[str, str]:
    """What is certain of a pattern, and the rest: folders of which a name is to be found.

    What is certain of an address keeps its scheme, authority and query.
    """
    head, path, query = _parsed(pattern)
    found = _WILD.search(path)
    base = path[: found.start() if found else None].rpartition("/")[0]
    wild = path[len(base) :].lstrip("/")
    if head:
        return f"{head}{base or '/'}{query}", unquote(wild)
    return base or ("/" if path.startswith("/") else "."), wild


def joined(place: str, name: str) -> str:
    """What lies below a folder or address, by its name there."""
    head, path, query = _parsed(place)
    return f"{head}{path.rstrip('/')}/{quote(name) if head else name}{query}"


def _parsed(place: str) -> tuple[str, str, str]:
    """Scheme and authority, path, and query; a path of this machine has nothing but itself."""
    found = _ADDRESS.fullmatch(place)
    return (found[1], found[2], found[3] or "") if found else ("", place, "")


def _below(root: str, path: str) -> str:
    return path.removeprefix(root).lstrip("/")


def _made(out: str, filesystem: fs.FileSystem, root: str) -> str | None:
    """Where the labels go, as a path below the bags' root; None where that is elsewhere."""
    where, path = _opened(out)
    if not where.equals(filesystem):
        return None
    if isinstance(where, fs.LocalFileSystem):
        root, path = str(Path(root).resolve()), str(Path(path).resolve())
    below = PurePosixPath(path)
    return str(below.relative_to(root)) if below.is_relative_to(root) else None


def _check_names(found: Sequence[Found]) -> None:
    counted = Counter(bag.name for bag in found)
    if doubled := [bag.place for bag in found if counted[bag.name] > 1]:
        raise BagError(f"{', '.join(doubled)} would have one name: label them in turn")
    for bag in found:
        parts = bag.name.split("/")
        for count in range(1, len(parts)):
            if (around := "/".join(parts[:count])) in counted:
                raise BagError(
                    f"the labels of {bag.place} would lie in the bag {around}: rename one of the"
                    " two, or label them in turn, into two folders"
                )


def _opened(place: str) -> tuple[fs.FileSystem, str]:
    """Its file system, and its path there."""
    if not is_remote(place):
        return fs.LocalFileSystem(), str(Path(place).absolute())
    try:
        filesystem, path = fs.FileSystem.from_uri(place)
    except (pyarrow.ArrowInvalid, ValueError) as error:
        raise BagError(f"{place} is no address that can be opened: {error}") from error
    return filesystem, path.rstrip("/") or "/"


def _expression(pattern: str) -> str:
    """A pattern of paths as a regular expression; ** is any number of folders."""
    kinds = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", pattern)
    return "".join(kinds[part] if part in kinds else _one(part) for part in parts)


def _one(part: str) -> str:
    """Plain characters, or one of a set, which is never a slash; sets mean what Python's do."""
    # It gives (?s:...)\Z for the whole of a text.
    return f"(?!/){fnmatch.translate(part)[4:-3]}" if part.startswith("[") else re.escape(part)


def _name(relative: str) -> str:
    for suffix in sorted(_FILES, key=len, reverse=True):
        relative = relative.removesuffix(suffix)
    return relative
