"""`qos: auto`, and a camera whose frames get lost on their way."""

from __future__ import annotations

import numpy as np
import pytest
from rig import Rig, image

TOPIC = "/camera/image_raw"


def reliabilities(rig: Rig) -> set[str]:
    """What the subscriptions to the camera ask for, as the graph has it."""
    found = rig.node.get_subscriptions_info_by_topic(TOPIC)
    return {info.qos_profile.reliability.name for info in found}


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
