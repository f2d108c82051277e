"""Which topics of a bag are cameras, and what these are called."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import bags
import numpy as np
import pytest
import yaml

from regseg_core import Segmenter
from regseg_core.bag.cameras import find_cameras
from regseg_core.bag.errors import BagError
from regseg_core.bag.label import Labelling
from regseg_core.bag.parts import unfinished
from regseg_core.bag.recording import Recording

SIZE = (96, 64)
GRAY = np.zeros((8, 8, 3), np.uint8)


def found(bag: Path, *asked: str) -> dict[str, str]:
    """Cameras' topics by name."""
    with Recording(bag) as recording:
        return {camera.name: camera.topic for camera in find_cameras(recording, asked)}


def topics(folder: Path, *names: str) -> Path:
    """A bag with one image on each, JPEG where a name is not that of a raw image."""
    make = {True: bags.image, False: bags.compressed_image}
    raw = ("image_raw", "image_rect", "mask", "label")
    return bags.write_bag(
        folder, [make[name.endswith(raw)](name, bags.BEGIN_NS, GRAY) for name in names]
    )


def test_depth_and_what_the_node_made_are_no_cameras(segment: Segmenter, tmp_path: Path) -> None:
    depth = np.zeros((8, 8, 2), np.uint8)
    street = np.zeros((64, 96, 3), np.uint8)
    sent = [
        bags.image("/depth/image_rect_raw", bags.BEGIN_NS, depth, "16UC1"),
        bags.image("/regseg/front/mask", bags.BEGIN_NS, street),
    ]
    source = bags.write_bag(tmp_path / "drive", [*bags.drive(1, SIZE), *sent])
    labelling = Labelling(segment, ["label"], quiet=True)
    assert labelling(source, tmp_path / "out").frames == 2
    asked = [f"deep={sent[0].topic}"]
    assert labelling(source, tmp_path / "asked", asked).frames == 1
    with pytest.raises(BagError, match="no images of a camera: its topics are /depth/image"):
        labelling(bags.write_bag(tmp_path / "dark", sent), tmp_path / "none")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (["/side/image_raw"], "no images on /side/image_raw: its image topics are /front/"),
        ([bags.TALK], "no images on /talk: its image topics are /front/image_raw, /rear/"),
        ([f"left={bags.FRONT}", f"left={bags.REAR}"], "would have one name: give other ones"),
        ([f"a b={bags.FRONT}"], "'a b' is no name of a camera"),
    ],
)
def test_topics_that_cannot_be_labelled(
    asked: Sequence[str], reason: str, segment: Segmenter, tmp_path: Path
) -> None:
    source = bags.write_bag(tmp_path / "drive", bags.drive(1, SIZE))
    with pytest.raises(BagError, match=reason):
        Labelling(segment, ["label"])(source, tmp_path / "out", asked)
    assert not (tmp_path / "out").exists() and not unfinished(tmp_path / "out").exists()


def test_cameras_are_called_as_asked_for_or_by_their_topics(
    segment: Segmenter, tmp_path: Path
) -> None:
    drive = [m._replace(topic=m.topic.replace("/front", "/mast/left")) for m in bags.drive(1, SIZE)]
    alone = [m._replace(topic="/image") for m in bags.drive(1, SIZE) if m.topic == bags.FRONT]
    labelling = Labelling(segment, ["label"], quiet=True)
    labelling(bags.write_bag(tmp_path / "a", drive), tmp_path / "1", [f"back={bags.REAR}"])
    labelling(bags.write_bag(tmp_path / "b", drive), tmp_path / "2")
    labelling(bags.write_bag(tmp_path / "c", alone), tmp_path / "3")
    made = []
    for name in "123":
        with Recording(tmp_path / name) as recording:
            made.append({t.removesuffix("_info") for t in recording.topics})
    assert made == [
        {"/regseg/back/label"},
        {"/regseg/mast/left/label", "/regseg/rear/label"},
        {"/regseg/label"},
    ]


def test_a_camera_that_is_recorded_twice_is_labelled_once(
    segment: Segmenter, tmp_path: Path
) -> None:
    drive = bags.drive(1, SIZE)
    twice = [m._replace(topic=f"{bags.FRONT}/compressed") for m in drive if m.topic == bags.REAR]
    source = bags.write_bag(tmp_path / "drive", [*drive, *twice])
    assert Labelling(segment, ["label"], quiet=True)(source, tmp_path / "out").frames == 2


def test_what_image_transport_makes_of_a_camera_is_no_other_one(tmp_path: Path) -> None:
    """By hand it is taken. What is there alone is labelled, and named where it cannot be read."""
    front = "/front/image_raw"
    both = topics(tmp_path / "both", front, f"{front}/zstd", f"{front}/compressed")
    assert found(both) == {"front": front}
    assert found(both, f"c={front}/compressed") == {"c": f"{front}/compressed"}
    sent = topics(tmp_path / "sent", f"{front}/zstd", f"{front}/compressed", "/front/other")
    assert found(sent) == {"front": f"{front}/compressed", "front/other": "/front/other"}
    alone = topics(tmp_path / "alone", f"{front}/zstd", "/rear/image_raw")
    assert {*found(alone).values()} == {f"{front}/zstd", "/rear/image_raw"}


def test_a_topic_without_messages_hides_no_other_one(tmp_path: Path) -> None:
    """In a file alone, which has no counts."""
    front = "/front/image_raw"
    sent = [
        bags.image(front, bags.BEGIN_NS, GRAY),
        bags.compressed_image(f"{front}/compressed", bags.BEGIN_NS, GRAY),
    ]
    [file] = bags.bag_files(bags.write_bag(tmp_path / "drive", sent, "sqlite3"))
    assert found(file) == {"front": front}
    with closing(sqlite3.connect(file)) as database, database:
        number = "(SELECT id FROM topics WHERE name = ?)"
        database.execute(f"DELETE FROM messages WHERE topic_id = {number}", (front,))
    assert found(file) == {"front": f"{front}/compressed"}


def test_what_the_node_was_unsure_of_is_a_camera_where_there_is_no_other(tmp_path: Path) -> None:
    node = "/regseg/front/mask", "/robot1/regseg/label"
    unsure = "/regseg/interesting", "/regseg/rear/interesting", "/robot1/regseg/top/interesting"
    names = ["", "rear", "robot1/top"]
    assert found(topics(tmp_path / "a", *unsure, *node)) == dict(zip(names, unsure, strict=True))
    assert found(topics(tmp_path / "b", *unsure, *node, bags.FRONT)) == {"front": bags.FRONT}
    assert found(tmp_path / "b", unsure[1]) == {"rear": unsure[1]}
    for number, topic in enumerate(node):
        with pytest.raises(BagError, match="has no images of a camera"):
            found(topics(tmp_path / f"c{number}", topic))


def test_two_images_of_one_camera_have_all_of_their_topics_as_names(tmp_path: Path) -> None:
    sent = "/front/image_raw/compressed", "/front/image_rect", "/rear/image_raw"
    bag = topics(tmp_path / "drive", *sent)
    names = ["front/image_raw", "front/image_rect", "rear"]
    assert found(bag) == dict(zip(names, sent, strict=True))
    with pytest.raises(BagError, match="/front/image_rect would have one name: give other ones"):
        found(bag, *sent)


def test_the_first_message_that_can_be_read_says_what_a_topic_holds(tmp_path: Path) -> None:
    deep = [
        bags.image("/deep/image", bags.BEGIN_NS + n, GRAY[..., :2].copy(), "16UC1")
        for n in range(2)
    ]
    deep[0] = deep[0]._replace(data=deep[0].data[:20])
    assert found(bags.write_bag(tmp_path / "drive", [*deep, *bags.drive(1, SIZE)])) == {
        "front": bags.FRONT,
        "rear": bags.REAR,
    }


@pytest.mark.parametrize("storage", bags.STORAGES)
def test_a_topic_without_images_is_no_camera(storage: bags.Storage, tmp_path: Path) -> None:
    """Unless some are in a file that its bag does not list."""
    drive = bags.drive(2, SIZE)
    bag = bags.write_bag(tmp_path / "drive", drive, storage, files=2)
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())
    about = metadata["rosbag2_bagfile_information"]
    for entry in about["topics_with_message_count"]:
        entry["message_count"] *= entry["topic_metadata"]["name"] != bags.REAR
    (bag / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    assert found(bag) == {"front": bags.FRONT}
    about["relative_file_paths"].pop()
    (bag / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    assert found(bag) == {"front": bags.FRONT, "rear": bags.REAR}
