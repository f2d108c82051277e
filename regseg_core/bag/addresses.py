"""Where a fleet's bags are: folders of this machine, or of an object store that Arrow reaches."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow
from pyarrow import fs

from regseg_core.bag.errors import BagError
from regseg_core.bag.parts import METADATA

_FILES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Found:
    """A bag: its place, as a path or address, and its name below what was searched."""

    place: str
    name: str


def find_bags(pattern: str) -> list[Found]:
    """All bags that a pattern fits, such as `logs/**/*.mcap` or `s3://bucket/logs/**`.

    It may fit the folders of bags or files in them; a file that has no folder of a bag around it is
    a bag by itself. Raises BagError where there are none, or two would have one name.
    """
    base, wild = _split(pattern)
    filesystem, root, prefix = _opened(base)
    selector = fs.FileSelector(root, recursive=True, allow_not_found=True)
    there = {entry.path for entry in filesystem.get_file_info(selector)}
    folders = {entry.rpartition("/")[0] for entry in there if entry.endswith(f"/{METADATA}")}
    fits = re.compile(_expression(wild))
    bags: dict[str, None] = {}
    for entry in sorted(there):
        if not fits.fullmatch(entry.removeprefix(root).lstrip("/")):
            continue
        folder = entry.rpartition("/")[0]
        if entry in folders:
            bags[entry] = None
        elif entry.endswith(_FILES):
            bags[folder if folder in folders else entry] = None
    if not bags:
        raise BagError(f"no bag fits {pattern}: give the path of bags, or of .mcap or .db3 files")
    found = [Found(prefix + bag, _name(bag.removeprefix(root).lstrip("/"))) for bag in bags]
    counted = Counter(bag.name for bag in found)
    if doubled := [bag.place for bag in found if counted[bag.name] > 1]:
        raise BagError(f"{', '.join(doubled)} would have one name: label them in turn")
    return found


def local_copy(place: str, folder: Path) -> Path:
    """The bag on this machine: itself, or a copy in that folder. Raises OSError."""
    filesystem, path, prefix = _opened(place)
    if not prefix:
        return Path(path)
    copy = folder / path.rpartition("/")[2]
    is_folder = filesystem.get_file_info(path).type == fs.FileType.Directory
    (copy if is_folder else folder).mkdir(parents=True, exist_ok=True)
    fs.copy_files(path, str(copy), source_filesystem=filesystem)
    return copy


def is_remote(place: str) -> bool:
    """Whether it is the address of an object store."""
    return "://" in place


def is_finished(place: str) -> bool:
    """Whether a whole bag is there."""
    filesystem, path, _ = _opened(place)
    return bool(filesystem.get_file_info(f"{path}/{METADATA}").type == fs.FileType.File)


@contextmanager
def attempt(place: str, most: int) -> Iterator[None]:
    """While a bag is made there: counts, in a file beside it, the attempts that come to no end.

    Raises BagError where there were as many as that.
    """
    filesystem, path, _ = _opened(place)
    note = f"{path}.attempts"
    count = 0
    if filesystem.get_file_info(note).type == fs.FileType.File:
        with filesystem.open_input_stream(note) as file:
            count = len(file.read())
    if count >= most:
        raise BagError(f"{most} workers died of it: label it alone, or delete {note} to try again")
    filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    with filesystem.open_output_stream(note) as file:
        file.write(b"." * (count + 1))
    try:
        yield
    finally:  # a worker that dies does not come here
        filesystem.delete_file(note)


def deliver(bag: Path, place: str) -> None:
    """Copies a bag there, what makes it whole last. Raises OSError."""
    filesystem, path, _ = _opened(place)
    filesystem.create_dir(path, recursive=True)
    for file in sorted(bag.iterdir(), key=lambda file: file.name == METADATA):
        fs.copy_files(str(file), f"{path}/{file.name}", destination_filesystem=filesystem)


def _split(pattern: str) -> tuple[str, str]:
    """What is certain of a pattern, and the rest: folders of which a name is to be found."""
    found = _WILD.search(pattern)
    base = pattern[: found.start() if found else None].rpartition("/")[0]
    return base or ("/" if pattern.startswith("/") else "."), pattern[len(base) :].lstrip("/")


def _opened(place: str) -> tuple[fs.FileSystem, str, str]:
    """Its file system, its path there, and what comes before that in an address."""
    if not is_remote(place):
        return fs.LocalFileSystem(), str(Path(place).absolute()), ""
    try:
        filesystem, path = fs.FileSystem.from_uri(place)
    except (pyarrow.ArrowInvalid, ValueError) as error:
        raise BagError(f"{place} is no address that can be opened: {error}") from error
    return filesystem, path, place.rstrip("/").removesuffix(path)


def _expression(pattern: str) -> str:
    """A pattern of paths as a regular expression; ** is any number of folders."""
    kinds = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    return "".join(
        kinds.get(part, part if part.startswith("[") and part.endswith("]") else re.escape(part))
        for part in parts
    )


def _name(relative: str) -> str:
    for suffix in sorted(_FILES, key=len, reverse=True):
        relative = relative.removesuffix(suffix)
    return relative
