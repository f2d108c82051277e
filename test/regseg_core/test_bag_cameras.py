"""Which topics of a bag are cameras, and what these are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bags
import numpy as np
import pytest

from regseg_core import Segmenter
from regseg_core.bag.errors import BagError
from regseg_core.bag.label import Labelling
from regseg_core.bag.parts import unfinished
from regseg_core.bag.recording import Recording

SIZE = (96, 64)


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
    ("topics", "reason"),
    [
        (["/side/image_raw"], "no images on /side/image_raw: its image topics are /front/"),
        ([bags.TALK], "no images on /talk: its image topics are /front/image_raw, /rear/"),
        ([f"left={bags.FRONT}", f"left={bags.REAR}"], "would have one name: give other ones"),
        ([f"a b={bags.FRONT}"], "'a b' is no name of a camera"),
    ],
)
def test_topics_that_cannot_be_labelled(
    topics: Sequence[str], reason: str, segment: Segmenter, tmp_path: Path
) -> None:
    source = bags.write_bag(tmp_path / "drive", bags.drive(1, SIZE))
    with pytest.raises(BagError, match=reason):
        Labelling(segment, ["label"])(source, tmp_path / "out", topics)
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
    topics = []
    for name in "123":
        with Recording(tmp_path / name) as recording:
            topics.append({t.removesuffix("_info") for t in recording.topics})
    assert topics == [
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
