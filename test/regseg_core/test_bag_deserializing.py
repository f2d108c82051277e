"""Serialized messages become objects with their fields, or are refused in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bags import (
    BEGIN_NS,
    FRONT,
    REAR,
    STORAGES,
    TALK,
    TYPES,
    Sent,
    Storage,
    drive,
    text,
    write_bag,
    write_mcap,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from regseg_core.bag.errors import MessageError
from regseg_core.bag.recording import Recording
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.messages import compressed, uncompressed

TWO = Sent("/two", BEGIN_NS, "mine/msg/Two", b"\0\1\0\0" + bytes([1, 0, 0, 0, 2, 0, 0, 0]))


def refusal(bag: Path) -> str:
    """What is said of the first message."""
    with Recording(bag) as recording:
        with pytest.raises(MessageError) as refused:
            recording.deserialize(next(recording.messages()))
        return str(refused.value)


@pytest.mark.parametrize("storage", STORAGES)
def test_images_become_frames(tmp_path: Path, storage: Storage) -> None:
    bag = write_bag(tmp_path / "bag", drive(1), storage)
    pixels, _ = SyntheticStreet(40, 32).frame(0)
    with Recording(bag) as recording:
        front, rear, talk = (recording.deserialize(m) for m in recording.messages())
    assert np.array_equal(uncompressed.to_frame(front).pixels, pixels)
    mirrored = compressed.to_frame(rear, 10**6).pixels[:, ::-1, ::-1]  # bgr8
    assert np.abs(mirrored - pixels.astype(int)).mean() < 20
    assert (front.header.frame_id, rear.header.frame_id) == ("front", "rear")
    stamp = front.header.stamp
    assert stamp.sec * 10**9 + stamp.nanosec == BEGIN_NS - 1_000_000
    assert talk.data == "frame 0"


def test_types_that_only_the_bag_knows(tmp_path: Path) -> None:
    bag = write_mcap(
        tmp_path / "drive.mcap", [TWO], definitions={TWO.msgtype: "int32 class\nuint32 other\n"}
    )
    with Recording(bag) as recording:
        message = recording.deserialize(next(recording.messages()))
    assert (message.class_, message.other) == (1, 2)


def test_images_are_those_of_ros(tmp_path: Path) -> None:
    """A bag that defines them otherwise is refused."""
    image = drive(1)[0]
    definition, _ = TYPES.generate_msgdef(image.msgtype, ros_version=2)
    for odd in (
        definition.replace("uint32 height", "uint32 rows"),
        definition.replace("int32 sec", "int64 sec"),
    ):
        bag = write_mcap(tmp_path / "drive.mcap", [image], definitions={image.msgtype: odd})
        assert "the bag's definition of it cannot be used: ROS defines " in refusal(bag)


@pytest.mark.parametrize(
    "definition",
    [
        "string[1000000000] names",
        "Two two",
        "Two[1000000] two",
        "int32 a\nint32 a",
        "int32 a # \nimport os",
        "int32 a = 3",
        "other/Unknown a",
        "int32 " + "a" * 2_000_000,
        "?",
    ],
    ids=range(9),
)
def test_definitions_that_make_no_sense(tmp_path: Path, definition: str) -> None:
    bag = write_mcap(tmp_path / "drive.mcap", [TWO], definitions={TWO.msgtype: definition})
    message = refusal(bag)
    assert message.startswith("/two at 1700000000.000000000 s: ") and len(message) < 400


def test_a_type_that_nobody_defines(tmp_path: Path) -> None:
    bag = write_mcap(tmp_path / "drive.mcap", [TWO], definitions={TWO.msgtype: ""})
    assert refusal(bag).endswith("no definition of 'mine/msg/Two' is known")


def test_a_type_whose_name_is_code(tmp_path: Path) -> None:
    name = 'a/msg/B:\n    """"""\n    import os; os._exit(3)\nclass C'
    bag = write_mcap(
        tmp_path / "drive.mcap", [TWO._replace(msgtype=name)], definitions={name: "int32 a\n"}
    )
    assert "cannot be used" in refusal(bag)


def test_another_encoding(tmp_path: Path) -> None:
    bag = write_mcap(tmp_path / "drive.mcap", [text(TALK, BEGIN_NS, "a")], encodings={TALK: "json"})
    assert refusal(bag).endswith("it is encoded as 'json', not as cdr")


def test_a_message_of_another_type(tmp_path: Path) -> None:
    talk = text(TALK, BEGIN_NS, "a")._replace(topic=FRONT, msgtype=drive(1)[0].msgtype)
    bag = write_bag(tmp_path / "bag", [talk])
    assert refusal(bag).startswith(f"{FRONT} at 1700000000.000000000 s: it is no whole sensor_msgs")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return Recording(write_bag(tmp_path_factory.mktemp("bags") / "bag", drive(1)))


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_bytes(recording: Recording, data: st.DataObject) -> None:
    message = data.draw(st.sampled_from([*recording.messages([FRONT, REAR])]))
    content = bytearray(message.data)
    place = data.draw(st.integers(0, 80))
    content[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    cut = data.draw(st.integers(0, 200))
    damaged = replace(message, data=bytes(content[: len(content) - cut]))
    try:
        image = recording.deserialize(damaged)
    except MessageError as error:
        assert str(error).startswith(message.topic.name)
    else:
        assert image.data.dtype == np.uint8 and image.data.size <= len(damaged.data)
