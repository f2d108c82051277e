"""The node says why a camera has no masks: over DDS, each camera of one node with a trouble."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rig import Rig, image, rig, status
from sensor_msgs.msg import CompressedImage, Image

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("warnings")]

#: Nobody publishes, another type, QoS that does not fit, frames that are refused, silence.
NAMES = ("gone", "packed", "picky", "odd", "silent")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("warnings")) as made:
        made.publisher("/packed/image_raw", CompressedImage)
        effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        made.node.create_publisher(Image, "/picky/image_raw", effort)
        for name in ("odd", "silent"):
            made.publisher(f"/{name}/image_raw")
        made.start(
            *("-p", f"cameras:=[{', '.join(NAMES)}]", "-p", "no_mask_after:=1.5"),
            *("-p", "stale_after:=3.0", "-p", "picky.qos:=reliable"),
        )
        made.until_said("/regseg/silent/mask")
        yield made


def small(encoding: str) -> Image:
    return image(np.zeros((24, 32, 3), np.uint8), encoding)


def warnings(rig_: Rig, camera: str) -> list[str]:
    start = f"no mask of /{camera}/image_raw for "
    return [line.partition(start)[2] for line in rig_.said().splitlines() if start in line]


def test_each_trouble_has_its_sentence_and_its_end(troubled: Rig) -> None:
    masks = {name: troubled.listen(f"/regseg/{name}/mask") for name in NAMES}
    bad, good = small("rgb8"), small("rgb8")
    bad.encoding = "holo9"
    while not all(warnings(troubled, name) for name in NAMES):
        troubled.send(bad, "/odd/image_raw")
        troubled.spin(0.2)
    (gone,), (packed,), (picky,), (odd,), (silent,) = (
        [text.partition(" s: ")[2] for text in warnings(troubled, name)] for name in NAMES
    )
    assert gone.startswith("nobody publishes it. Set image_topic to one of the image topics")
    assert "/odd/image_raw" in gone and "/regseg" not in gone
    assert packed.startswith("/audience publishes sensor_msgs/msg/CompressedImage on it")
    assert "set image_transport to compressed" in packed
    assert picky.startswith("the QoS of /audience does not fit (best effort publisher")
    assert "set qos to best_effort or auto" in picky
    assert "frames were refused: encoding 'holo9'" in odd
    assert silent.startswith("/audience publishes it, but no frame comes")
    assert not any(masks.values())

    found = status(troubled, "odd")
    assert found["level"] == DiagnosticStatus.ERROR
    assert "frames arrive, none is segmented: encoding 'holo9'" in found["message"]
    assert found["last refusal"].startswith("encoding 'holo9'")
    counts = ("segmented", "dropped", "unwanted", "refused", "failed", "in work")
    assert int(found["received"]) == sum(int(found[count]) for count in counts)
    troubled.until(lambda: status(troubled, "gone")["level"] == DiagnosticStatus.STALE)

    troubled.send_until(good, lambda: masks["odd"], "/odd/image_raw")
    troubled.until_said("masks of /odd/image_raw again after ")
    assert all(len(warnings(troubled, name)) == 1 for name in NAMES), "every ten seconds at most"
    troubled.forget()


def test_nothing_is_said_of_a_camera_that_nobody_wants(troubled: Rig) -> None:
    troubled.until(lambda: status(troubled, "gone")["message"].startswith("idle"))
    before = troubled.said().count("no mask of")
    troubled.spin(3.0)
    assert troubled.said().count("no mask of") == before


def test_two_nodes_of_one_name(troubled: Rig) -> None:
    twin = Node("regseg", context=troubled.context)
    troubled.until_said("2 nodes are called /regseg, this one and 1 more")
    twin.destroy_node()
    troubled.until_said("no other node is called /regseg any more")
    assert troubled.said().count("nodes are called") == 1


def test_a_reader_whose_qos_does_not_fit(troubled: Rig) -> None:
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for times in (1, 2):
        reader = troubled.node.create_subscription(
            Image, "/regseg/odd/label", lambda _: None, latched
        )
        said = "/regseg/odd/label: /audience does not hear /regseg ("
        troubled.until_said(said, times)
        troubled.spin(1.5)
        assert troubled.said().count(said) == times
        troubled.node.destroy_subscription(reader)
        troubled.spin(1.5)


def test_the_last_words_are_a_summary_of_each_camera(troubled: Rig) -> None:
    assert troubled.stop() == 0
    lines = [line for line in troubled.said().splitlines() if " received: " in line]
    assert len(lines) == len(NAMES)
    (odd,) = (line for line in lines if "/odd/image_raw" in line)
    found = re.search(r" (\d+) frames of odd .* received: (.*); latency .* by eager", odd)
    assert found is not None, odd
    ends = [int(number) for number in re.findall(r"\d+", found[2])]
    assert int(found[1]) == sum(ends) and ends[0] >= 1 and ends[3] >= 1
