"""Opening a file of a bag by its name, also one that rosbag2 compressed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from regseg_core.bag.folder import COMPRESSED
from regseg_core.bag.storage.compression import expand_file
from regseg_core.bag.storage.file import Report, Storage, StorageError
from regseg_core.bag.storage.mcap import McapFile
from regseg_core.bag.storage.sqlite import SqliteFile


class Opener:
    """Keeps the file that it decompressed last, in a temporary folder, and no other."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        self._source: Path | None = None
        self._target = Path()

    def open(self, path: Path, report: Report) -> Storage | None:
        """None, which is reported, where nothing of it can be read."""
        try:
            if path.stat().st_size == 0:
                raise StorageError("it is empty")
            if path.suffix == COMPRESSED:
                path = self._expanded(path, report)
            return (McapFile if path.suffix == ".mcap" else SqliteFile)(path, report)
        except (StorageError, OSError) as error:
            report(f"nothing of it can be read: {error}")
            return None

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = self._source = None

    def _expanded(self, path: Path, report: Report) -> Path:
        if path != self._source:
            if self._folder is None:
                self._folder = TemporaryDirectory(prefix="regseg-bag-")
            if self._source is not None:
                self._target.unlink()
            self._source = None
            self._target = Path(self._folder.name, path.stem)
            if damage := expand_file(path, self._target):
                report(damage)
            self._source = path
        return self._target
