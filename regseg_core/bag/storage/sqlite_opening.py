"""Opening a sqlite3 file that may be cut off, not closed by its recorder, or made to do harm."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import apsw

from regseg_core.bag.storage.compression import MOST_BYTES
from regseg_core.bag.storage.file import Report, StorageError

_MAGIC = b"SQLite format 3\0"
_HEAD_BYTES = 100

_TABLES = {
    "messages": {"id", "topic_id", "timestamp", "data"},
    "topics": {"id", "name", "type", "serialization_format"},
}


def open_database(path: Path, report: Report) -> apsw.Connection:
    """For reading; neither the file nor what lies beside it is changed.

    Reports where it is cut off or was not closed. Raises StorageError where it is no bag's file,
    and OSError.
    """
    log = path.with_name(f"{path.name}-wal")
    file_system: str | None
    if log.is_file() and log.stat().st_size > 0:
        report(f"its recorder did not close it: {log.name} is read too, its end may be missing")
        # Without locks, and exclusively: else reading a log makes a file beside it, for an index.
        mode, file_system = "mode=ro", "unix-none"
    else:
        mode, file_system = "immutable=1", _file_system(path, report)
    if path.with_name(f"{path.name}-journal").is_file():
        report("its recorder did not close it: its last messages may be missing")
    database: apsw.Connection | None = None
    try:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        database = apsw.Connection(f"{path.absolute().as_uri()}?{mode}", flags, file_system)
        database.limit(apsw.SQLITE_LIMIT_LENGTH, MOST_BYTES)
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        # Without it, sqlite3 opens no file that is cut off.
        database.execute("PRAGMA writable_schema = ON")
        for table, columns in _TABLES.items():
            if not columns <= stored_columns(database, table):
                raise StorageError(f"it has no whole table {table} as rosbag2 writes it")
    except BaseException as error:
        if database is not None:
            database.close()
        if isinstance(error, (apsw.Error, UnicodeDecodeError)):
            raise StorageError(f"its tables cannot be read ({error})") from error
        raise
    return database


def stored_columns(database: apsw.Connection, table: str) -> set[str]:
    """None for a view or a virtual table, no computed ones: reading them could compute anything."""
    query = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
    for (sql,) in database.execute(query, (table,)):
        if str(sql).upper().startswith("CREATE TABLE"):
            return {str(column[1]) for column in database.execute(f"PRAGMA table_info({table})")}
    return set()


def _file_system(path: Path, report: Report) -> str | None:
    """The one to read a file through, None for the usual; of one that is cut off, whole pages.

    Reports that. Raises StorageError where it is no sqlite3 file.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.startswith(_MAGIC):
        raise StorageError("it does not begin as a sqlite3 file does")
    page = int.from_bytes(head[16:18], "big")
    page = 65536 if page == 1 else page
    size = path.stat().st_size
    expected = page * int.from_bytes(head[28:32], "big")
    # The number of pages holds where both counts of changes are the same.
    if head[24:28] == head[92:96] and size < expected:
        report(f"it is cut off after {size} of {expected} bytes")
    return _whole_pages(page).name if page and size % page else None


@cache
def _whole_pages(page: int) -> _WholePages:
    return _WholePages(page)


class _WholePages(apsw.VFS):
    """Hides the rest of a last page, which sqlite3 would fill with zeros and give as data."""

    def __init__(self, page: int) -> None:
        self.name = f"whole pages of {page}"
        self._page = page
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _WholePagesFile(self._page, name, flags)


class _WholePagesFile(apsw.VFSFile):
    def __init__(self, page: int, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._page = page
        super().__init__("", name, flags)

    def xFileSize(self) -> int:  # noqa: N802
        return super().xFileSize() // self._page * self._page
