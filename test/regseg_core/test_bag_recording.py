"""Bags that are whole: all messages, in order of time, from any place on."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from bags import (
    BEGIN_NS,
    FRONT,
    REAR,
    TALK,
    TYPES,
    Compression,
    Sent,
    Storage,
    bag_files,
    drive,
    text,
    write_bag,
    write_mcap,
)
from mcap.writer import CompressionType
from rosbags.interfaces import (
    ConnectionExtRosbag2,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader

from regseg_core.bag.errors import BagError
from regseg_core.bag.recording import Message, Position, Recording
from regseg_core.errors import ArgumentError

LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    QosTime(0, 0),
    QosTime(0, 0),
    QosLiveliness.AUTOMATIC,
    QosTime(0, 0),
    False,
)

WAYS: list[tuple[Storage, Compression]] = [
    ("mcap", "none"),
    ("mcap", "message"),
    ("mcap", "file"),
    ("mcap", "storage"),
    ("sqlite3", "none"),
    ("sqlite3", "message"),
    ("sqlite3", "file"),
]


def sent(message: Message) -> Sent:
    return Sent(message.topic.name, message.time_ns, message.topic.msgtype, message.data)


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize(("storage", "compression"), WAYS)
def test_a_whole_bag(
    tmp_path: Path, storage: Storage, compression: Compression, files: int
) -> None:
    messages = drive(12)
    bag = write_bag(tmp_path / "bag", messages, storage, compression, files, {TALK: [LATCHED]})
    with Recording(bag) as recording:
        assert [sent(m) for m in recording.messages()] == messages
        assert recording.flaws == []
        assert {name: topic.count for name, topic in recording.topics.items()} == {
            FRONT: 12,
            REAR: 12,
            TALK: 12,
        }
        assert (recording.start_ns, recording.end_ns) == (BEGIN_NS, messages[-1].time_ns)
        for topic in recording.topics.values():
            definition, _ = TYPES.generate_msgdef(topic.msgtype, ros_version=2)
            assert topic.connection.msgdef.data == definition
            assert topic.connection.digest == TYPES.hash_rihs01(topic.msgtype)
        ext = recording.topics[TALK].connection.ext
        assert isinstance(ext, ConnectionExtRosbag2) and ext.offered_qos_profiles == [LATCHED]
    with Reader(bag) as reader:
        read = [Sent(c.topic, time_ns, c.msgtype, d) for c, time_ns, d in reader.messages()]
    assert read == messages


@pytest.mark.parametrize("chunk_bytes", [4 << 10, None])
@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("index", [True, False])
def test_one_mcap_file_in_any_form(
    tmp_path: Path, chunk_bytes: int | None, compression: CompressionType, index: bool
) -> None:
    messages = drive(12)
    path = write_mcap(tmp_path / "drive.mcap", messages, chunk_bytes, compression, index)
    with Recording(path) as recording:
        assert [sent(m) for m in recording.messages()] == messages
        assert [sent(m) for m in recording.messages([TALK])] == messages[2::3]
        assert recording.flaws == []
        known = index and chunk_bytes is not None
        assert recording.topics[REAR].count == (12 if known else None)


def test_one_sqlite3_file(tmp_path: Path) -> None:
    messages = drive(12)
    (path,) = bag_files(write_bag(tmp_path / "bag", messages, "sqlite3"))
    with Recording(path) as recording:
        assert [sent(m) for m in recording.messages()] == messages
        assert recording.flaws == []


@pytest.mark.parametrize("chunk_bytes", [1 << 10, None])
def test_order_is_that_of_time(tmp_path: Path, chunk_bytes: int | None) -> None:
    """Also across chunks, and of equal times that of the file."""
    times = np.random.default_rng(0).permutation(np.repeat(np.arange(40), 3)) + BEGIN_NS
    messages = [text(TALK, int(time_ns), f"{i} " * 20) for i, time_ns in enumerate(times)]
    ordered = sorted(messages, key=lambda message: message.time_ns)
    path = write_mcap(tmp_path / "drive.mcap", messages, chunk_bytes)
    database = write_bag(tmp_path / "bag", messages, "sqlite3")
    for bag in (path, database):
        with Recording(bag) as recording:
            read = list(recording.messages())
            assert [sent(m) for m in read] == ordered
            assert [m.position for m in read] == sorted(m.position for m in read)
            for number in range(0, len(read), 7):
                assert list(recording.messages(after=read[number].position)) == read[number + 1 :]


@pytest.mark.parametrize(("storage", "compression"), WAYS)
def test_it_goes_on_behind_any_message(
    tmp_path: Path, storage: Storage, compression: Compression
) -> None:
    bag = write_bag(tmp_path / "bag", drive(6), storage, compression, files=2)
    with Recording(bag) as recording:
        messages = list(recording.messages())
        assert len({m.position for m in messages}) == len(messages) == 18
    with Recording(bag) as recording:
        for number, message in enumerate(messages):
            stored = Position(*json.loads(json.dumps(astuple(message.position))))
            assert list(recording.messages(after=stored)) == messages[number + 1 :]
            # A place is the same one whatever is read.
            following = [m for m in messages[number + 1 :] if m.topic.name == REAR]
            assert list(recording.messages([REAR], stored)) == following


def test_files_of_ten_and_more_are_in_order(tmp_path: Path) -> None:
    messages = drive(12)
    bag = write_bag(tmp_path / "bag", messages, files=12)
    (bag / "metadata.yaml").unlink()
    with Recording(bag) as recording:
        assert [sent(m) for m in recording.messages()] == messages
        (flaw,) = recording.flaws
        assert flaw.startswith("metadata.yaml is missing")


def test_a_decompressed_file_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    bag = write_bag(tmp_path / "bag", drive(6), "sqlite3", "file", files=3)
    with Recording(bag) as recording:
        for _ in recording.messages():
            assert len(list((tmp_path / "temporary").rglob("*.db3"))) == 1
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_empty_bag_is_whole(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "drive.mcap", [])
    with Recording(path) as recording:
        assert list(recording.messages()) == [] == recording.flaws
        assert recording.start_ns is recording.end_ns is None


def test_a_topic_that_it_does_not_have(tmp_path: Path) -> None:
    with (
        Recording(write_bag(tmp_path / "bag", drive(1))) as recording,
        pytest.raises(ArgumentError, match=f"no topic /left: it has {FRONT}, {REAR}, {TALK}"),
    ):
        recording.messages([FRONT, "/left"])


def test_what_is_no_bag_is_explained(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"there is no bag at .*none: give its folder"):
        Recording(tmp_path / "none")
    with pytest.raises(BagError, match=r"no \.mcap or \.db3 files in .*: give the folder"):
        Recording(tmp_path)
    (tmp_path / "drive.txt").write_text("no bag")
    with pytest.raises(BagError, match=r"drive\.txt is no \.mcap or \.db3 file"):
        Recording(tmp_path / "drive.txt")
    (tmp_path / "drive.bag").write_bytes(b"#ROSBAG V2.0\n")
    for path in (tmp_path, tmp_path / "drive.bag"):
        with pytest.raises(BagError, match=r"ROS 1: .*rosbags-convert --src .*drive\.bag --dst"):
            Recording(path)
