"""A sqlite3 file of rosbag2, whole or damaged -> its messages in order of time.

Tables: https://github.com/ros2/rosbag2/tree/rolling/rosbag2_storage_sqlite3.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import apsw
import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat

from regseg_core.bag.storage.file import Entry, Report, StorageError, connection_of, seconds
from regseg_core.bag.storage.sqlite_opening import open_database, stored_columns

_FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}

_DEFINITION = ("topic_type", "encoding", "encoded_message_definition")

#: Older recorders have not all of them.
_TOPIC = {
    "id",
    "name",
    "type",
    "serialization_format",
    "offered_qos_profiles",
    "type_description_hash",
}

_NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, "")

#: So many damaged messages of no known topic are named; the others are counted.
_NAMED = 10

#: No row takes less of a file. More rows than that are pages that lead in circles.
_LEAST_ROW_BYTES = 4


class SqliteFile:
    """See `Storage`. Raises StorageError and OSError where nothing can be read."""

    counts: Mapping[str, int] | None = None  # sqlite3 would read all rows

    def __init__(self, path: Path, report: Report) -> None:
        self._report = report
        self._database = open_database(path, report)
        try:
            self._topics = self._read_topics()
            self._order = self._read_order(path)
        except BaseException as error:
            self._database.close()
            if isinstance(error, (apsw.Error, UnicodeDecodeError)):
                raise StorageError(f"its tables cannot be read ({error})") from error
            raise
        self.connections = [*self._topics.values()]
        times = self._order[:, 0]
        self.span_ns = (int(times[0]), int(times[-1])) if len(times) else None

    def entries(self, topics: Collection[str], start_ns: int) -> Iterator[Entry]:
        """All from that time on; the first of those whose topic is lost are named, all counted."""
        lost = 0
        first = int(np.searchsorted(self._order[:, 0], start_ns))
        try:
            for time_ns, id in self._order[first:]:
                connection, data = self._read(int(id), int(time_ns), topics)
                if connection is None:
                    lost += 1
                    if lost <= _NAMED:
                        when = seconds(int(time_ns))
                        self._report(f"message {id} at {when} is damaged and left out")
                yield Entry(int(time_ns), int(time_ns), connection, data)
        finally:
            if lost > _NAMED:
                self._report(f"{lost} messages are damaged and left out")

    def close(self) -> None:
        self._database.close()

    def _read(
        self, id: int, time_ns: int, topics: Collection[str]
    ) -> tuple[Connection | None, bytes | None]:
        """A message's topic and, where asked for, its data; None for what is damaged."""
        connection = None
        try:
            rows = self._database.execute(
                "SELECT topic_id FROM messages WHERE id = ? AND timestamp = ?", (id, time_ns)
            ).fetchall()
            topic = rows[0][0] if rows else None
            connection = self._topics.get(topic) if isinstance(topic, int) else None
            if connection is None or connection.topic not in topics:
                return connection, None
            query = "SELECT data FROM messages WHERE id = ?"
            ((data,),) = self._database.execute(query, (id,)).fetchall()
        except (apsw.Error, MemoryError, UnicodeDecodeError):  # damaged, it may be any text
            return connection, None
        return connection, data if isinstance(data, bytes) else None

    def _read_topics(self) -> dict[int, Connection]:
        definitions: dict[str, MessageDefinition] = {}
        if {*_DEFINITION} <= stored_columns(self._database, "message_definitions"):
            definitions = {
                type: MessageDefinition(_FORMATS[encoding], str(text))
                for type, encoding, text in self._database.execute(
                    f"SELECT {', '.join(_DEFINITION)} FROM message_definitions"
                )
                if encoding in _FORMATS
            }
        columns = sorted(stored_columns(self._database, "topics") & _TOPIC)
        topics = {}
        for values in self._database.execute(f"SELECT {', '.join(columns)} FROM topics"):
            row = dict(zip(columns, values, strict=True))
            topics[row["id"]] = connection_of(
                row["id"],
                str(row["name"]),
                str(row["type"]),
                definitions.get(row["type"], _NO_DEFINITION),
                str(row.get("type_description_hash", "")),
                str(row["serialization_format"]),
                str(row.get("offered_qos_profiles", "")),
            )
        return topics

    def _read_order(self, path: Path) -> npt.NDArray[np.int64]:
        """N x 2: times and row numbers of all messages, in order; without reading any message."""
        most = path.stat().st_size // _LEAST_ROW_BYTES
        rows, error = self._rows("timestamp, id", most)
        if error:
            self._report(f"its index of times is damaged ({error}): its rows are read in turn")
            rows, error = self._rows("id", most)
            if error:
                self._report(f"its rows are damaged ({error}): those in front and behind are read")
                rows = np.concatenate([rows, self._rows("id DESC", most)[0]])
        later, same = np.diff(rows, axis=0).T > 0, np.diff(rows[:, 0]) == 0
        if not (later[0] | (same & later[1])).all():  # a damaged index has any order
            rows = np.unique(rows, axis=0)
        return rows

    def _rows(self, order: str, most: int) -> tuple[npt.NDArray[np.int64], Exception | None]:
        """N x 2: times and row numbers, as far as they can be read, and why no further."""
        numbers = array("q")
        failure: Exception | None = None
        try:
            for time_ns, id in self._database.execute(
                f"SELECT timestamp, id FROM messages WHERE typeof(timestamp) = 'integer'"
                f" ORDER BY {order} LIMIT {most}"
            ):
                numbers.append(time_ns)
                numbers.append(id)
        except apsw.Error as error:
            failure = error
        return np.array(numbers, np.int64).reshape(-1, 2), failure
