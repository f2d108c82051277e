"""Bags through the network: every frame, in order, as the node would label it."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path
from typing import Any

import bags
import cv2
import numpy as np
import pytest
import zstandard
from rosbags.interfaces import QosDurability, QosReliability

from regseg_core import Segmenter
from regseg_core.bag.__main__ import main
from regseg_core.bag.errors import BagError
from regseg_core.bag.fleet import Workers, label_fleet
from regseg_core.bag.label import Labelling
from regseg_core.bag.outgoing import LABEL_INFO
from regseg_core.bag.parts import unfinished
from regseg_core.bag.recording import Recording
from regseg_core.errors import ArgumentError
from regseg_core.labels import CAMVID, LabelSet
from regseg_core.model import create_model
from regseg_core.weights import ModelCard, save_weights

SIZE = (96, 64)
CPU = "--device cpu --backend eager --precision float32"


def label(source: Path, out: Path, *more: str) -> str:
    """What the command says where something is amiss; empty where nothing is."""
    try:
        main(["label", str(source), str(out), *CPU.split(), *more])
    except SystemExit as ended:
        return str(ended.code)
    return ""


def read(bag: Path) -> list[tuple[str, int, bytes]]:
    """All messages, in order."""
    with Recording(bag) as recording:
        assert not recording.flaws
        return [(m.topic.name, m.time_ns, m.data) for m in recording.messages()]


def images(bag: Path, topic: str) -> list[Any]:
    with Recording(bag) as recording:
        return [recording.deserialize(m) for m in recording.messages([topic])]


@pytest.mark.parametrize(("storage", "files"), [("mcap", 1), ("sqlite3", 3)])
def test_every_frame_is_labelled_as_it_was_sent(
    storage: bags.Storage, files: int, segment: Segmenter, tmp_path: Path
) -> None:
    drive = bags.drive(3, SIZE)
    source = bags.write_bag(tmp_path / "drive", drive, storage, files=files)
    out = tmp_path / "labelled"
    more = f"--storage {storage} --outputs label mask confidence overlay label/compressed".split()
    assert label(source, out, *more) == ""
    for camera, topic in (("front", bags.FRONT), ("rear", bags.REAR)):
        sent = [m for m in drive if m.topic == topic]
        given, found = images(source, topic), images(out, f"/regseg/{camera}/label")
        others = {
            name: images(out, f"/regseg/{camera}/{name}")
            for name in ("mask", "confidence", "overlay", "label/compressed")
        }
        assert len(found) == len(sent) == 3
        for index, (image, message) in enumerate(zip(given, found, strict=True)):
            if camera == "front":
                pixels = np.asarray(image.data).reshape(SIZE[1], SIZE[0], 3)
                result = segment(pixels, "rgb8", confidence=True)
            else:
                pixels = cv2.imdecode(image.data, cv2.IMREAD_COLOR).astype(np.uint8)
                result = segment(pixels, confidence=True)
            assert (message.height, message.width, message.encoding) == (64, 96, "mono8")
            assert message.header.frame_id == camera and message.step == 96
            assert vars(message.header.stamp) == vars(image.header.stamp)
            assert np.array_equal(message.data, result.labels.reshape(-1))
            planes = {name: messages[index] for name, messages in others.items()}
            assert np.array_equal(planes["mask"].data, result.mask().reshape(-1))
            assert result.confidence is not None
            assert np.array_equal(planes["confidence"].data, result.confidence.reshape(-1))
            assert np.array_equal(planes["overlay"].data, result.overlay().reshape(-1))
            assert planes["overlay"].encoding == "rgb8" and planes["overlay"].step == 288
            assert planes["label/compressed"].format == "mono8; png compressed mono8"
            png = cv2.imdecode(planes["label/compressed"].data, cv2.IMREAD_UNCHANGED)
            assert np.array_equal(png, result.labels)
    times = [time_ns for topic, time_ns, _ in read(out) if topic == "/regseg/rear/label"]
    assert times == [m.time_ns for m in drive if m.topic == bags.REAR]


def test_the_classes_are_told_to_those_who_come_late(tmp_path: Path) -> None:
    source = bags.write_bag(tmp_path / "drive", bags.drive(1, SIZE))
    assert label(source, tmp_path / "out", "--topics", bags.FRONT) == ""
    with Recording(tmp_path / "out") as recording:
        assert set(recording.topics) == {
            f"/regseg/front/{n}" for n in ("label", "mask", "label_info")
        }
        connection = recording.topics["/regseg/front/label_info"].connection
        [qos] = connection.ext.offered_qos_profiles  # type: ignore[union-attr]
        assert qos.durability == QosDurability.TRANSIENT_LOCAL
        assert qos.reliability == QosReliability.RELIABLE
        [message] = recording.messages(["/regseg/front/label_info"])
        info = recording.deserialize(message)
        assert message.topic.msgtype == LABEL_INFO and message.time_ns == bags.BEGIN_NS
    assert [(c.class_id, c.class_name) for c in info.class_map] == [
        (entry.id, entry.name) for entry in CAMVID.classes
    ]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_bags_own_messages_come_along_unchanged(storage: bags.Storage, tmp_path: Path) -> None:
    drive = bags.drive(4, SIZE)
    late = bags.text(bags.TALK, drive[-1].time_ns + 10**9, "after the last frame")
    source = bags.write_bag(tmp_path / "drive", [*drive, late], storage)
    assert label(source, tmp_path / "out", "--all-topics", "--storage", storage) == ""
    own = [m for m in read(tmp_path / "out") if not m[0].startswith("/regseg/")]
    assert own == read(source)


def test_damaged_messages_are_named_and_cost_nothing_else(tmp_path: Path) -> None:
    drive = bags.drive(4, SIZE)
    rear = [place for place, message in enumerate(drive) if message.topic == bags.REAR]
    front = [place for place, message in enumerate(drive) if message.topic == bags.FRONT]
    halved = drive[rear[1]].data
    drive[rear[1]] = drive[rear[1]]._replace(data=halved[: len(halved) // 2])
    unknown = bags.image(bags.FRONT, drive[front[2]].time_ns, np.zeros((8, 8, 3), np.uint8), "lab8")
    drive[front[2]] = unknown
    source = bags.write_bag(tmp_path / "drive", drive)
    said = label(source, tmp_path / "out", "--all-topics").splitlines()
    assert len(said) == 2 and all(line.startswith("error: ") for line in said)
    assert any(f"{bags.REAR} at 1700000000.1" in line for line in said)
    assert any(f"{bags.FRONT} at 1700000000.2" in line and "'lab8'" in line for line in said)
    assert len(images(tmp_path / "out", "/regseg/front/label")) == 3
    assert len(images(tmp_path / "out", "/regseg/rear/label")) == 3
    assert [m for m in read(tmp_path / "out") if not m[0].startswith("/regseg/")] == read(source)


def test_an_image_whose_compression_is_damaged_is_counted(
    segment: Segmenter, tmp_path: Path
) -> None:
    drive = bags.drive(3, SIZE)
    [_, second, _] = [place for place, m in enumerate(drive) if m.topic == bags.FRONT]
    cut = zstandard.ZstdCompressor().compress(drive[second].data)[:-20]
    drive[second] = drive[second]._replace(data=cut)
    source = bags.write_bag(tmp_path / "drive", drive)
    report = Labelling(segment, ["label"], all_topics=True, quiet=True)(source, tmp_path / "out")
    assert (report.frames, report.damaged) == (5, 1)
    [flaw] = report.flaws
    assert f"{bags.FRONT} at 1700000000.100000000 s" in flaw and "zstd data are cut off" in flaw
    own = [m for m in read(tmp_path / "out") if not m[0].startswith("/regseg/")]
    assert len(own) == len(drive) - 1


@pytest.mark.integration
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_that_is_cut_off_is_labelled_up_to_its_end(
    storage: bags.Storage, tmp_path: Path
) -> None:
    source = bags.write_bag(tmp_path / "drive", bags.drive(200, SIZE), storage)
    [file] = bags.bag_files(source)
    bags.cut_off(file, file.stat().st_size * 2 // 3)
    assert file.name in label(source, tmp_path / "out", "--topics", bags.REAR)
    assert 60 < len(images(tmp_path / "out", "/regseg/rear/label")) < 140


SCRIPT = """
    import sys
    from pathlib import Path
    from regseg_core import Segmenter
    from regseg_core.bag.label import Labelling
    if __name__ == "__main__":
        segment = Segmenter(device="cpu", precision="float32", backend="eager")
        labelling = Labelling(segment, ["label"], all_topics=True, quiet=True, part_seconds=0.3)
        labelling(Path(sys.argv[1]), Path(sys.argv[2]), resume=True)
"""


@pytest.mark.integration
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_killed_it_goes_on_without_a_frame_lost_or_doubled(
    storage: bags.Storage, segment: Segmenter, tmp_path: Path
) -> None:
    source = bags.write_bag(tmp_path / "drive", bags.drive(150, SIZE, rate=1e9 / 3), storage)
    out, script = tmp_path / "out", tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    parts = 0
    for _ in range(2):
        with subprocess.Popen([sys.executable, script, source, out]) as process:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                there = len([*unfinished(out).glob("out_*")])
                if there >= parts + 2:
                    break
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert not out.exists(), "it was done before it was killed"
        assert process.returncode == -signal.SIGKILL
        before, parts = parts, len([*unfinished(out).glob("out_*")])
        assert parts >= before + 2
    labelling = Labelling(segment, ["label"], all_topics=True, quiet=True)
    report = labelling(source, out, resume=True)
    whole = tmp_path / "whole"
    assert vars(labelling(source, whole)) == vars(report) and report.frames == 300
    # Each part tells the classes anew.
    once, twice = ([m for m in read(b) if "label_info" not in m[0]] for b in (whole, out))
    assert once == twice
    assert len([*out.glob("out_*")]) >= parts
    assert vars(labelling(source, out, resume=True)) == vars(report)  # it is done already


def test_what_is_there_is_never_overwritten(segment: Segmenter, tmp_path: Path) -> None:
    source = bags.write_bag(tmp_path / "drive", bags.drive(2, SIZE))
    assert label(source, tmp_path / "out") == ""
    assert "is there already: give another place" in label(source, tmp_path / "out")
    begun = unfinished(tmp_path / "new")
    begun.mkdir()
    (begun / "current").mkdir()  # of a labelling of which no part was whole
    labelling = Labelling(segment, ["label"], quiet=True, part_seconds=0.0)
    assert labelling(source, tmp_path / "new").frames == 4
    (tmp_path / "new").rename(begun)  # as if it had not come to its end
    (begun / "metadata.yaml").unlink()
    assert "give --resume to go on, or delete it" in label(source, tmp_path / "new")
    with pytest.raises(BagError, match="made with another outputs: go on with what"):
        Labelling(segment, ["mask"], quiet=True)(source, tmp_path / "new", resume=True)
    (begun / "labelling.json").write_text("{")
    with pytest.raises(BagError, match="is damaged: delete"):
        labelling(source, tmp_path / "new", resume=True)


def test_a_labelling_goes_on_with_what_it_was_begun_with_alone(
    segment: Segmenter, tmp_path: Path
) -> None:
    source = bags.write_bag(tmp_path / "a/drive", bags.drive(2, SIZE))
    other = bags.write_bag(tmp_path / "b/drive", bags.drive(3, SIZE))
    labelling, out = Labelling(segment, ["label"], quiet=True), tmp_path / "out"
    labelling(source, out)
    with pytest.raises(BagError, match="made with another outputs"):
        Labelling(segment, ["mask"], quiet=True)(source, out, resume=True)
    with pytest.raises(BagError, match="made with another source"):
        labelling(other, out, resume=True)
    with pytest.raises(BagError, match="is no labelled bag"):
        labelling(source, other, resume=True)
    unfinished(tmp_path / "busy").mkdir()
    with (unfinished(tmp_path / "busy") / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BagError, match="is being written by another process"):
            labelling(source, tmp_path / "busy", resume=True)


def test_a_fleets_bags_that_were_labelled_otherwise_are_refused(
    segment: Segmenter, tmp_path: Path
) -> None:
    source, out = bags.write_bag(tmp_path / "logs/one", bags.drive(1, SIZE)), tmp_path / "out"
    labelling = Labelling(segment, ["label"], quiet=True)
    labelling(source, out / "one")
    done = partial(label_fleet, f"{source.parent}/*", str(out), lambda: labelling, Workers(1))
    assert [report.frames for report in done(asked={"outputs": ["label"]})] == [2]
    with pytest.raises(BagError, match="one was made with another storage: go on with what"):
        done(asked={"outputs": ["label"], "storage": "sqlite3"})


def test_outputs_that_the_weights_cannot_give(tmp_path: Path) -> None:
    entries = [{"name": name, "color": [i, i, i]} for i, name in enumerate(("cup", "plate"))]
    labels = LabelSet.from_dict({"classes": entries})
    save_weights(tmp_path / "w", create_model("regseg48", 2), ModelCard("regseg48", labels))
    segment = Segmenter(tmp_path / "w.safetensors", "cpu", backend="eager")
    with pytest.raises(ArgumentError, match="no cost: no built-in groups fit the classes cup, pl"):
        Labelling(segment, ["label", "cost"])
