"""The elements of an XML file of strangers, one after the other: nothing of it is kept."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from xml.parsers import expat

from regseg_core.annotation.pool import AnnotationError

#: (whether it begins, name, attributes); attributes are empty where it ends.
Element = tuple[bool, str, dict[str, str]]

_CHUNK = 1 << 19
#: Bytes from one element to the next. Masks of people and networks take a hundredth.
_MOST_BETWEEN = 16 << 20
_DEEPEST = 16


def elements(path: Path, within: str) -> Iterator[Element]:
    """The beginnings and ends of the elements of an XML file in UTF-8, or of `within` in a ZIP.

    Raises AnnotationError for what is not well-formed, and for what could take memory without end:
    document types, since they define entities, an element of more than 16 MB, deep nesting.
    """
    found: list[Element] = []
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise AnnotationError(f"{path}: elements are nested {depth} deep")
        found.append((True, name, attributes))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        found.append((False, name, {}))

    def refuse(*_: object) -> None:
        raise AnnotationError(f"{path}: has a document type (DOCTYPE), which no such file needs")

    # Whatever the file declares: it names codecs of Python's otherwise.
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    between = 0
    with _opened(path, within) as file:
        while True:
            chunk = file.read(_CHUNK)
            try:
                parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                raise AnnotationError(f"{path}: is damaged, or no XML: {error}") from error
            yield from found
            between = 0 if found else between + len(chunk)
            found.clear()
            if between > _MOST_BETWEEN:
                raise AnnotationError(f"{path}: an element of more than {_MOST_BETWEEN >> 20} MB")
            if not chunk:
                return


@contextmanager
def _opened(path: Path, within: str) -> Iterator[IO[bytes]]:
    """The file, or the one in it. Raises AnnotationError where it cannot be read."""
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive:
            if within not in archive.namelist():
                raise AnnotationError(f"{path}: holds no {within}")
            with archive.open(within) as file:
                yield file
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        raise AnnotationError(f"{path}: cannot be read: {error}") from error
