"""`qos: auto`, and a camera whose frames get lost on their way."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from rig import Rig, image
from sensor_msgs.msg import Image

from regseg_ros.input import Input
from regseg_ros.settings import CameraSettings

TOPIC = "/camera/image_raw"


def reliabilities(rig: Rig) -> set[str]:
    """What the subscriptions to the camera ask for, as the graph has it."""
    found = rig.node.get_subscriptions_info_by_topic(TOPIC)
    return {info.qos_profile.reliability.name for info in found}


@pytest.mark.integration
def test_images_come_as_the_bytes_that_dds_brings(fresh: Rig) -> None:
    came: list[object] = []
    heard = Input(fresh.node, CameraSettings(), came.append, lambda _: None)
    heard.open()
    fresh.until_connected()
    sent = fresh.send_until(image(np.ones((48, 64, 3), np.uint8), "bgr8"), lambda: came)
    heard.close()
    assert isinstance(came[0], bytes)
    assert deserialize_message(came[0], Image) == sent


@pytest.mark.integration
def test_a_camera_that_loses_frames_is_heard_reliably(fresh: Rig) -> None:
    fresh.start("-p", "lazy:=false")
    fresh.until_said("active:")
    fresh.until_connected()
    assert reliabilities(fresh) == {"BEST_EFFORT"}
    # Three times what the shared memory of the profile holds.
    frame = image(np.zeros((3072, 4096, 3), np.uint8), "bgr8")

    def reliable() -> bool:
        fresh.send(frame)
        fresh.spin(0.05)
        return reliabilities(fresh) == {"RELIABLE"}

    fresh.until(reliable)
    fresh.until_said(f"hearing {TOPIC} reliably from now on")
