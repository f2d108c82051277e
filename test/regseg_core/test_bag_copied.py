"""What comes along with --all-topics: every byte, also of types that nobody defines."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import bags
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from regseg_core import Segmenter
from regseg_core.bag.errors import BagError
from regseg_core.bag.label import Labelling
from regseg_core.bag.recording import Recording

SIZE = (96, 64)


def copying(segment: Segmenter, storage: bags.Storage = "mcap") -> Labelling:
    return Labelling(segment, ["label"], all_topics=True, storage=storage, quiet=True)


@pytest.mark.parametrize("storage", bags.STORAGES)
def test_a_type_that_no_file_defines_comes_along(
    storage: bags.Storage, segment: Segmenter, tmp_path: Path
) -> None:
    """As in Humble's sqlite3."""
    drive = bags.drive(2, SIZE)
    [source] = bags.bag_files(bags.write_bag(tmp_path / "drive", drive, "sqlite3"))
    with sqlite3.connect(source) as database:
        database.execute("UPDATE topics SET type_description_hash = ''")
        database.execute(f"UPDATE topics SET type = 'my/msg/Status' WHERE name = '{bags.TALK}'")
        database.execute("DROP TABLE message_definitions")
    database.close()
    report = copying(segment, storage)(source, tmp_path / "out")
    assert report.frames == 4 and not any(bags.TALK in flaw for flaw in report.flaws)
    sent = [m.data for m in drive if m.topic == bags.TALK]
    with Recording(tmp_path / "out") as recording:
        assert recording.topics[bags.TALK].msgtype == "my/msg/Status"
        assert [m.data for m in recording.messages([bags.TALK])] == sent
    for make in (Reader, lambda path: AnyReader([path])):
        with make(tmp_path / "out") as reader:
            talk = [c for c in reader.connections if c.topic == bags.TALK]
            assert [data for _, _, data in reader.messages(talk)] == sent


@pytest.mark.parametrize("storage", bags.STORAGES)
def test_rosbags_reads_types_whose_hashes_were_not_recorded(
    storage: bags.Storage, segment: Segmenter, tmp_path: Path
) -> None:
    source = bags.write_mcap(tmp_path / "drive.mcap", bags.drive(2, SIZE))
    copying(segment, storage)(source, tmp_path / "out")
    with AnyReader([tmp_path / "out"]) as reader:
        talk = [c for c in reader.connections if c.topic == bags.TALK]
        told = [reader.deserialize(data, c.msgtype) for c, _, data in reader.messages(talk)]
    assert [vars(message)["data"] for message in told] == ["frame 0", "frame 1"]


def test_what_is_no_message_of_ros_is_left_out_and_named(
    segment: Segmenter, tmp_path: Path
) -> None:
    """Foxglove's own messages in an mcap file; rosbags refuses a bag that calls them CDR."""
    drive = bags.drive(2, SIZE)
    source = bags.write_mcap(tmp_path / "drive.mcap", drive, encodings={bags.TALK: "json"})
    report = copying(segment)(source, tmp_path / "out")
    assert report.frames == 4
    assert report.flaws == [f"{bags.TALK} is left out: it has no messages of ROS 2"]
    with AnyReader([tmp_path / "out"]) as reader:
        assert {bags.FRONT, bags.REAR} < {c.topic for c in reader.connections}
        assert bags.TALK not in reader.topics


def test_labels_that_would_be_in_a_bag_twice_are_refused(
    segment: Segmenter, tmp_path: Path
) -> None:
    source = bags.write_bag(tmp_path / "drive", bags.drive(2, SIZE))
    copying(segment)(source, tmp_path / "out")
    with pytest.raises(BagError, match=r"has /regseg/front/label, .* already: give other names"):
        copying(segment)(tmp_path / "out", tmp_path / "twice")
    anew = Labelling(segment, ["label"], quiet=True)(tmp_path / "out", tmp_path / "anew")
    assert anew.frames == 4 and not anew.flaws
