"""What one file of a bag gives, however it is stored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple, Protocol

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, Qos
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.metadata import parse_qos

from regseg_core.errors import RegSegError

#: Takes one line for people: what is damaged, where, what was done.
Report = Callable[[str], None]


class StorageError(RegSegError):
    """A file, or a part of one, that cannot be read; without the file's name."""


class Entry(NamedTuple):
    """A message's place in a file, also where the message itself is lost or not asked for."""

    order_ns: int  # grows; nearly always the time
    time_ns: int
    connection: Connection | None  # None where the message is lost
    data: bytes | None  # None where it is not asked for, or its data are lost


class Storage(Protocol):
    """An open file. Entries are the same ones in the same order however often they are read."""

    @property
    def connections(self) -> Sequence[Connection]:
        """One or more for each topic."""

    @property
    def counts(self) -> Mapping[str, int] | None:
        """Messages by topic; None where only reading all of them would tell."""

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Times of the first and the last message, as far as known without reading them."""

    def entries(self, topics: Collection[str], start_ns: int) -> Iterator[Entry]:
        """All from that time on, in order of time; with data for those topics."""

    def close(self) -> None: ...


def seconds(time_ns: int) -> str:
    """A time for people, exact."""
    return f"{time_ns // 10**9}.{time_ns % 10**9:09d} s"


def connection_of(
    id: int,
    topic: str,
    msgtype: str,
    definition: MessageDefinition,
    digest: str,
    encoding: str,
    qos: str,
) -> Connection:
    """As rosbags describes a topic. Quality of service that cannot be read is that of nobody."""
    ext = ConnectionExtRosbag2(encoding, [*_profiles(qos)])
    return Connection(id, topic, msgtype, definition, digest, 0, ext, None)


@lru_cache  # all files of a bag say the same
def _profiles(qos: str) -> Sequence[Qos]:
    with suppress(ReaderError, RecursionError, LookupError, TypeError, ValueError, AttributeError):
        return parse_qos(qos)
    return []
