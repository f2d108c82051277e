"""A recorded frame gets the same labels from the node and from the bag's labelling."""

from __future__ import annotations

import array
from functools import partial
from pathlib import Path
from typing import Any

import bags
import numpy as np
import pytest
from rig import rig
from sensor_msgs.msg import CompressedImage, Image

from regseg_core import Segmenter
from regseg_core.bag.label import Labelling
from regseg_core.bag.recording import Recording
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.encodings import ENCODINGS

pytestmark = pytest.mark.integration


def sent(recorded: Any) -> Image | CompressedImage:
    """A message as ROS has it, with the bytes that were recorded."""
    data = array.array("B", np.asarray(recorded.data).tobytes())
    if hasattr(recorded, "format"):
        return CompressedImage(format=recorded.format, data=data)
    fields = {name: getattr(recorded, name) for name in ("height", "width", "encoding", "step")}
    return Image(data=data, **fields)


def test_the_labels_are_the_nodes_bit_for_bit(tmp_path: Path) -> None:
    drive = [m for m in bags.drive(2, (96, 64)) if m.topic != bags.FRONT]
    for number in range(2):
        pixels = ENCODINGS["uyvy"].from_rgb(SyntheticStreets(2, 96, 64)[number][0])
        drive.append(bags.image(bags.FRONT, bags.BEGIN_NS + number, pixels, "uyvy"))
    source = bags.write_bag(tmp_path / "drive", drive)
    segment = Segmenter(device="cpu", backend="eager")
    Labelling(segment, ["label", "confidence"], quiet=True)(source, tmp_path / "out")
    with (
        Recording(source) as recorded,
        Recording(tmp_path / "out") as labelled,
        rig(tmp_path) as node,
    ):
        node.start("-p", "cameras:=[front, rear]", "-p", "rear.image_transport:=compressed")
        node.until_said("active:")
        for camera, topic in (("front", bags.FRONT), ("rear", bags.REAR)):
            images = [recorded.deserialize(m) for m in recorded.messages([topic])]
            planes = {
                plane: [labelled.deserialize(m) for m in labelled.messages([plane])]
                for plane in (f"/regseg/{camera}/label", f"/regseg/{camera}/confidence")
            }
            node.publisher(topic, type(sent(images[0])))
            heard = {plane: node.listen(plane) for plane in planes}
            node.until_connected(topic)
            for index, image in enumerate(images):
                for messages in heard.values():
                    messages.clear()
                message = node.send_until(sent(image), partial(all, heard.values()), topic)
                for plane, found in planes.items():
                    assert heard[plane][-1].header == message.header
                    assert heard[plane][-1].data.tobytes() == found[index].data.tobytes()
            node.forget()
