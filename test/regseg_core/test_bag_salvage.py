"""Bags that are cut off, damaged, or made to do harm: what is whole is given, the rest is named."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from bags import (
    FORMS,
    STORAGES,
    TALK,
    Storage,
    bag_files,
    chunks_of,
    cut_off,
    drive,
    overwrite,
    read_bag,
    write_bag,
    write_form,
    write_mcap,
)
from mcap.writer import CompressionType

from regseg_core.bag.errors import BagError, MessageError
from regseg_core.bag.recording import Recording

MESSAGES = drive(12)


@contextmanager
def edited(path: Path) -> Iterator[sqlite3.Connection]:
    """A file of sqlite3, open; what is changed is in it afterwards."""
    with closing(sqlite3.connect(path)) as database, database:
        yield database


@pytest.fixture(params=FORMS)
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_form(tmp_path, MESSAGES, request.param)


def test_a_file_that_is_cut_off_gives_what_is_before(whole: Path) -> None:
    size = whole.stat().st_size
    counts = []
    for share in (1 - 1 / size, 0.99, 0.9, 0.7, 0.5, 0.2, 0.05):
        cut_off(whole, int(size * share))
        try:
            messages, flaws = read_bag(whole)
        except BagError as error:
            assert whole.name in str(error) and "give another bag" in str(error)
            messages = []
        else:
            assert flaws and all(flaw.startswith(f"{whole.name}: ") for flaw in flaws)
            assert messages == MESSAGES[: len(messages)]
        counts.append(len(messages))
    assert counts == sorted(counts, reverse=True)
    if whole.suffix != ".zstd":  # it holds one block, which is whole or not
        assert counts[0] >= len(MESSAGES) - 2 and counts[3] > len(MESSAGES) / 3


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("compression", list(CompressionType))
def test_a_damaged_chunk_is_skipped(
    tmp_path: Path, compression: CompressionType, index: bool
) -> None:
    path = write_mcap(tmp_path / "drive.mcap", MESSAGES, 8 << 10, compression)
    parts = chunks_of(path)
    part = parts[len(parts) // 2]
    lost = [
        number
        for number, message in enumerate(MESSAGES)
        if part.message_start_time < message.time_ns < part.message_end_time
    ]
    if not index:
        cut_off(path, parts[-1].chunk_start_offset)
    middle = part.chunk_start_offset + part.chunk_length // 2
    overwrite(path, middle, bytes(range(256)))
    messages, flaws = read_bag(path)
    assert [m for m in MESSAGES if m in messages] == messages
    assert 0 < len(MESSAGES) - len(messages) < len(MESSAGES) / 2
    assert not {MESSAGES[number] for number in lost} & {*messages}
    assert any(f"the chunk at byte {part.chunk_start_offset} is left out" in f for f in flaws)


def test_without_an_index_reading_goes_on_behind_damage(tmp_path: Path) -> None:
    """The lengths of records, by which the next one is found, are overwritten too."""
    path = write_mcap(tmp_path / "drive.mcap", MESSAGES, 8 << 10)
    *_, before, damaged, after, last = chunks_of(path)
    cut_off(path, last.chunk_start_offset)
    begin = before.chunk_start_offset + 50
    overwrite(path, begin, bytes(damaged.chunk_start_offset + 50 - begin))
    messages, flaws = read_bag(path)
    assert [m for m in MESSAGES if m in messages] == messages
    assert messages[-1].time_ns == after.message_end_time
    assert f"to {after.chunk_start_offset} are damaged" in " ".join(flaws)


def test_channels_are_known_though_the_chunk_that_describes_them_is_damaged(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "drive.mcap", MESSAGES, 8 << 10)
    first, second, *_ = chunks_of(path)
    overwrite(path, first.chunk_start_offset + 60, bytes(1000))
    overwrite(path, path.stat().st_size - 1, b"x")
    messages, _ = read_bag(path)
    assert messages == [m for m in MESSAGES if m in messages]
    assert messages[0].time_ns <= second.message_end_time


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metadata", [True, False])
def test_a_damaged_file_hides_no_other(tmp_path: Path, storage: Storage, metadata: bool) -> None:
    bag = write_bag(tmp_path / "bag", MESSAGES, storage, files=4)
    first, second, third, fourth = bag_files(bag)
    cut_off(first, 0)
    cut_off(second, int(second.stat().st_size * 0.7))
    overwrite(third, 0, b"something else")
    if not metadata:
        (bag / "metadata.yaml").unlink()
    messages, flaws = read_bag(bag)
    assert messages[-9:] == MESSAGES[-9:]
    assert messages[:-9] == MESSAGES[9 : len(messages)] and len(messages) > 9
    assert f"{first.name}: nothing of it can be read: it is empty" in flaws
    assert any(flaw.startswith(f"{second.name}: ") for flaw in flaws)
    assert any(flaw.startswith(f"{third.name}: nothing of it can be read") for flaw in flaws)
    assert not any(flaw.startswith(fourth.name) for flaw in flaws)
    assert any(flaw.startswith("metadata.yaml is missing") for flaw in flaws) != metadata


@pytest.mark.parametrize(
    "content", ["", "rosbag2_bagfile_information: 3", "a: [", "\0", "a: &a [*a]"]
)
def test_damaged_metadata(tmp_path: Path, content: str) -> None:
    bag = write_bag(tmp_path / "bag", MESSAGES, files=2)
    (bag / "metadata.yaml").write_text(content)
    messages, (flaw,) = read_bag(bag)
    assert messages == MESSAGES and flaw.startswith("metadata.yaml is damaged")


def test_files_that_are_missing_or_not_listed(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", MESSAGES, files=3)
    _, second, _ = bag_files(bag)
    second.rename(bag / "zzz.mcap")
    messages, flaws = read_bag(bag)
    assert messages == MESSAGES[:12] + MESSAGES[24:] + MESSAGES[12:24]
    assert flaws == [
        f"{second.name} is missing: metadata.yaml lists it",
        "zzz.mcap is read after the others: metadata.yaml does not list it",
    ]


def test_a_recorder_killed_while_it_compressed_a_file(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", MESSAGES, "sqlite3", files=2)
    (bag / "metadata.yaml").unlink()
    (bag / f"{bag_files(bag)[1].name}.zstd").write_bytes(b"\x28\xb5\x2f\xfd")
    messages, flaws = read_bag(bag)
    assert messages == MESSAGES and len(flaws) == 1


def test_sqlite3_with_a_log_that_is_not_merged(tmp_path: Path) -> None:
    """It is read, and nothing in the folder changes."""
    (path,) = bag_files(write_bag(tmp_path / "bag", MESSAGES[:18], "sqlite3"))
    killed = tmp_path / "killed"
    killed.mkdir()
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    topics = dict(database.execute("SELECT name, id FROM topics"))
    database.executemany(
        "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)",
        [(topics[m.topic], m.time_ns, m.data) for m in MESSAGES[18:]],
    )
    database.commit()
    for name in (path.name, f"{path.name}-wal"):
        shutil.copy(path.with_name(name), killed)
    database.close()
    before = {file.name: file.read_bytes() for file in killed.iterdir()}
    messages, flaws = read_bag(killed / path.name)
    assert messages == MESSAGES
    assert flaws == [
        f"{path.name}: its recorder did not close it: {path.name}-wal is read too, its end may be"
        " missing"
    ]
    assert before == {file.name: file.read_bytes() for file in killed.iterdir()}


def index_of_times(path: Path) -> tuple[int, int]:
    """Where its page begins and ends in the file."""
    with edited(path) as database:
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'timestamp_idx'"
        ).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    return (page - 1) * size, page * size


def test_sqlite3_whose_index_of_times_is_damaged(tmp_path: Path) -> None:
    (path,) = bag_files(write_bag(tmp_path / "bag", MESSAGES, "sqlite3"))
    begin, end = index_of_times(path)
    overwrite(path, begin, b"\xff" * (end - begin))
    messages, flaws = read_bag(path)
    assert messages == MESSAGES and "index of times is damaged" in flaws[0]


def test_sqlite3_whose_index_of_times_is_out_of_order(tmp_path: Path) -> None:
    """One bit of it: sqlite3 does not notice, and gives what the index says in its order."""
    (path,) = bag_files(write_bag(tmp_path / "bag", MESSAGES, "sqlite3"))
    time = MESSAGES[12].time_ns.to_bytes(8, "big")
    place = path.read_bytes().index(time, *index_of_times(path))
    overwrite(path, place + 2, bytes([time[2] ^ 0x10]))
    messages, flaws = read_bag(path)
    assert len(messages) == len(MESSAGES) - 1 and len(flaws) == 1
    assert [m for m in MESSAGES if m in messages] == messages


def test_a_topic_of_two_types(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", MESSAGES[:3])
    write_mcap(
        bag / "bag_1.mcap", [MESSAGES[3]._replace(topic=TALK), MESSAGES[5]._replace(topic="/new")]
    )
    (bag / "metadata.yaml").unlink()
    messages, flaws = read_bag(bag)
    assert messages == [*MESSAGES[:3], MESSAGES[5]._replace(topic="/new")]
    assert "that are sensor_msgs/msg/Image are left out" in flaws[1]


def test_damaged_messages_of_sqlite3_are_named_at_once(tmp_path: Path) -> None:
    """Whatever ends the reading, what was damaged before was said. A topic's own are given."""
    (path,) = bag_files(write_bag(tmp_path / "bag", MESSAGES[:9], "sqlite3"))
    with edited(path) as database:
        database.execute("UPDATE messages SET topic_id = 99 WHERE id = 3")
        database.execute("UPDATE messages SET data = 7 WHERE id = 5")
    with Recording(path) as recording:
        messages = recording.messages()
        given = [next(messages) for _ in range(3)]
        assert [m.data for m in given] == [MESSAGES[place].data for place in (0, 1, 3)]
        [flaw] = recording.flaws
        assert flaw == f"{path.name}: message 3 at 1700000000.000000000 s is damaged and left out"
        fifth = next(messages)
        assert fifth.topic.name == MESSAGES[4].topic and fifth.time_ns == MESSAGES[4].time_ns
        assert fifth.damage.endswith("is left out: its data cannot be read")
        with pytest.raises(MessageError, match=re.escape(fifth.topic.name)):
            recording.deserialize(fifth)
        assert len([*messages]) == 4 and len(recording.flaws) == 2
    with Recording(path) as recording:  # nobody asked for it
        others = {MESSAGES[0].topic, MESSAGES[2].topic}
        assert len([*recording.messages(others)]) == 5 and len(recording.flaws) == 1


def test_many_damaged_messages_of_sqlite3_are_counted(tmp_path: Path) -> None:
    (path,) = bag_files(write_bag(tmp_path / "bag", MESSAGES[:30], "sqlite3"))
    with edited(path) as database:
        database.execute("UPDATE messages SET topic_id = 99 WHERE id > 4")
    messages, flaws = read_bag(path)
    assert len(messages) == 4 and len(flaws) == 11
    assert flaws[-1] == f"{path.name}: 26 messages are damaged and left out"


def test_damage_that_sqlite3_takes_for_text_which_is_none(tmp_path: Path) -> None:
    (path,) = bag_files(write_bag(tmp_path / "bag", MESSAGES[:9], "sqlite3"))
    with edited(path) as database:
        database.execute("UPDATE messages SET topic_id = CAST(x'ff' AS TEXT) WHERE id = 3")
        database.execute("UPDATE messages SET data = CAST(x'fe00' AS TEXT) WHERE id = 5")
    messages, flaws = read_bag(path)
    assert messages == [MESSAGES[place] for place in (0, 1, 3, 5, 6, 7, 8)] and len(flaws) == 2
    with edited(path) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_master SET sql = CAST(sql || x'ff' AS TEXT) WHERE name = 'topics'"
        )
    with pytest.raises(BagError, match="its tables cannot be read"):
        read_bag(path)
