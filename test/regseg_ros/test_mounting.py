"""Where a camera is mounted: what is costly is made again only where that has changed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regseg_core.arrays import Doubles
from regseg_core.geometry.camera_model import CameraModel
from regseg_core.geometry.ground import GroundView, Pose
from regseg_ros.geometry.mounting import Mounting
from regseg_ros.geometry.transforms import Transforms
from regseg_ros.settings import CameraSettings, SegmenterSettings

MODEL = CameraModel(64, 48, 60.0, 60.0, 31.5, 23.5)
#: Radians that TF is off by, this way and that.
NOISE = 1e-4


class Known(Transforms):
    """Says where a camera is that is turned as `pose` says."""

    def __init__(self) -> None:
        self.pose = Pose(1.2)

    def find(self, target: str, source: str, instead: str) -> Doubles:
        cos, sin = math.cos(self.pose.yaw), math.sin(self.pose.yaw)
        found = np.eye(4)
        found[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ self.pose.rotation
        found[:3, 3] = self.pose.ahead, self.pose.left, self.pose.height
        return found


class Mounted:
    """A camera on a robot."""

    def __init__(self) -> None:
        self._known = Known()
        self._mounting = Mounting(self._known)

    def view(self, **pose: float) -> GroundView:
        self._known.pose = Pose(**{"height": 1.2, "pitch": 0.3, **pose})
        return self._mounting.view(MODEL, "lens", CameraSettings(), SegmenterSettings())


@pytest.mark.parametrize("angle", ["yaw", "roll"])
def test_noise_about_half_a_turn_changes_nothing(angle: str) -> None:
    camera = Mounted()
    first = camera.view(**{angle: math.pi - NOISE})
    assert getattr(first.pose, angle) == pytest.approx(math.pi - NOISE)
    for noise in (NOISE, -NOISE, NOISE):
        assert camera.view(**{angle: math.pi + noise}) is first


def test_a_camera_that_has_moved_has_another_view() -> None:
    camera = Mounted()
    for moved in ({"yaw": 0.01}, {"roll": 0.01}, {"pitch": 0.31}, {"left": 0.01}, {"ahead": 6.29}):
        first = camera.view()
        assert camera.view(yaw=0.001, height=1.201) is first
        assert camera.view(**moved) is not first
