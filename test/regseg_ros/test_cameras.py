"""One node, several cameras, one model: over DDS, from another process."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from rig import Rig, image, pixels, rig, status

from regseg_core import Segmenter
from regseg_core.arrays import Image
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.encodings import ENCODINGS

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("cameras")]

NAMES = ("front", "rear", "left", "right")
CAMERAS = ("-p", f"cameras:=[{', '.join(NAMES)}]")


def street(seed: int, height: int = 64, width: int = 96) -> Image:
    return SyntheticStreets(seed + 1, width, height)[seed][0]


def topic(camera: str) -> str:
    return f"/{camera}/image_raw"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("cameras")) as made:
        # Frames that are sent one after another wait for each other.
        made.start(*CAMERAS, "-p", "rear.image_topic:=/back/image_raw", "-p", "batch_wait_ms:=50.0")
        made.until_said("/regseg/right/mask")
        yield made


def test_each_camera_has_its_own_outputs_from_one_batch(running: Rig, segment: Segmenter) -> None:
    labels = {name: running.listen(f"/regseg/{name}/label") for name in NAMES}
    topics = {**{name: topic(name) for name in NAMES}, "rear": "/back/image_raw"}
    for name in NAMES:
        running.until_connected(topics[name])
    frames = {name: street(seed) for seed, name in enumerate(NAMES)}
    deadline = time.monotonic() + 60
    while "4 x 64 x 96 rgb8" not in status(running, "front")["frames"]:
        assert time.monotonic() < deadline, running.said()
        for _ in range(5):
            sent = {n: running.send(image(frames[n], "rgb8"), topics[n]) for n in NAMES}
            running.spin(0.2)
    running.until(lambda: all(labels[n] and labels[n][-1].header == sent[n].header for n in NAMES))
    for name in NAMES:
        expected = segment(frames[name], "rgb8").labels
        assert (pixels(labels[name][-1]) == expected).mean() > 0.999
    assert running.node.count_publishers("/regseg/mask") == 0


def test_only_what_somebody_listens_to_is_heard(running: Rig) -> None:
    publisher = running.publisher(topic("left"))
    running.until(lambda: publisher.get_subscription_count() == 0)
    masks = running.listen("/regseg/left/mask")
    running.until(lambda: publisher.get_subscription_count() == 1)
    running.send_until(image(street(0), "rgb8"), lambda: masks, topic("left"))
    assert running.publisher(topic("right")).get_subscription_count() == 0
    running.forget()
    running.until(lambda: publisher.get_subscription_count() == 0)


def test_a_camera_stops_comes_back_and_changes(running: Rig) -> None:
    front = running.listen("/regseg/front/label")
    right = running.listen("/regseg/right/label")
    running.send_until(image(street(0), "rgb8"), lambda: front, topic("front"))
    for encoding, height, width in (("mono8", 48, 80), ("bgra8", 96, 64), ("rgb8", 64, 96)):
        right.clear()
        given = ENCODINGS[encoding].from_rgb(street(1, height, width))
        running.send_until(image(given, encoding), lambda: right, topic("right"))
        assert (right[-1].height, right[-1].width) == (height, width)
    # The driver dies, and is started again.
    running.forget_publisher(topic("right"))
    front.clear()
    running.send_until(image(street(2), "rgb8"), lambda: front, topic("front"))
    right.clear()
    running.send_until(image(street(3), "rgb8"), lambda: right, topic("right"))


def test_a_fast_camera_does_not_crowd_out_the_others(running: Rig) -> None:
    heard = {name: running.listen(f"/regseg/{name}/label") for name in NAMES}
    topics = {**{name: topic(name) for name in NAMES}, "rear": "/back/image_raw"}
    for name in NAMES:
        running.until_connected(topics[name])
    # Sizes of their own, so that each is a batch of its own, and more than the network can do.
    size = {name: (240 + 16 * n, 320) for n, name in enumerate(NAMES)}
    frames = {n: image(np.zeros((*size[n], 3), np.uint8), "rgb8") for n in NAMES}
    end = time.monotonic() + 6
    turn = 0
    while time.monotonic() < end:
        running.send(frames["front"], topics["front"])
        if turn % 3 == 0:
            for name in NAMES[1:]:
                running.send(frames[name], topics[name])
        turn += 1
        running.spin(1 / 60)
    counts = {name: len(messages) for name, messages in heard.items()}
    share = sum(counts.values()) / len(NAMES)
    sent = turn // 3
    for name in NAMES[1:]:
        assert counts[name] >= min(share, sent) / 2, counts
