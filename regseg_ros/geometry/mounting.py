"""How a camera sees and where it is mounted: its model, its view of the ground, and its map."""

from __future__ import annotations

import math

from sensor_msgs.msg import CameraInfo

from regseg_core import Segmentation
from regseg_core.geometry.camera_model import CameraModel
from regseg_core.geometry.grid import LETHAL, GroundGrid
from regseg_core.geometry.ground import GroundView, Pose
from regseg_core.groups import LETHAL as LETHAL_COST
from regseg_core.groups import Role
from regseg_ros.geometry.calibration import camera_model_of
from regseg_ros.geometry.transforms import Transforms
from regseg_ros.settings import CameraSettings, SegmenterSettings

#: A camera that has moved by less, in m and rad, is where it was: its view takes long to make.
_STILL = 2e-3


class Mounting:
    """Keeps what is costly to make while nothing has changed."""

    def __init__(self, transforms: Transforms) -> None:
        self._transforms = transforms
        self._model: CameraModel | None = None
        self._view: GroundView | None = None
        self._grid: GroundGrid | None = None
        self._costs: tuple[dict[int, int], dict[int, int]] = {}, {}

    def model(self, info: CameraInfo, rectified: bool, labels: tuple[int, ...]) -> CameraModel:
        """Of images whose labels are H x W. Raises CalibrationError, also for another size."""
        model = camera_model_of(info, labels, rectified)
        if self._model != model:
            self._model = model
        assert self._model is not None
        return self._model

    def view(
        self, model: CameraModel, frame: str, camera: CameraSettings, settings: SegmenterSettings
    ) -> GroundView:
        """What a camera whose optical frame is `frame` sees of the ground.

        Raises CalibrationError.
        """
        if camera.camera_height > 0:
            pose = Pose(camera.camera_height, camera.camera_pitch, camera.camera_roll)
        else:
            pose = Pose.of(self._transforms.find(camera.ground_frame, frame, "camera_height"))
        old, wanted = self._view, (settings.grid_cell, settings.ground_range)
        if (
            old is not None
            and (old.camera, old.cell, old.reach) == (model, *wanted)
            and _moved(old.pose, pose) < _STILL
        ):
            return old
        self._view = GroundView(model, pose, *wanted)
        self._grid = None
        return self._view

    def grid(self, view: GroundView, result: Segmentation, votes: int) -> GroundGrid:
        """The map of that ground, with the costs of the groups that are ground or stand on it."""
        costs = _costs(result, Role.GROUND), _costs(result, Role.OBSTACLE, Role.DYNAMIC)
        old = self._grid
        if old is None or old.view is not view or old.votes != votes or self._costs != costs:
            self._grid, self._costs = GroundGrid(view, costs[0], votes, costs[1]), costs
        assert self._grid is not None
        return self._grid


def _moved(one: Pose, other: Pose) -> float:
    """How far at the most, in m or rad."""
    lengths = (one.height - other.height, one.ahead - other.ahead, one.left - other.left)
    angles = (one.pitch - other.pitch, one.roll - other.roll, one.yaw - other.yaw)
    # Half a turn to the left and to the right are the same.
    return max(map(abs, (*lengths, *(math.remainder(angle, math.tau) for angle in angles))))


def _costs(result: Segmentation, *roles: Role) -> dict[int, int]:
    """Of a map, by the ids that have one of these roles; without those of unknown cost."""
    cost = result.costs()
    return {
        number: round(int(cost[number]) * LETHAL / LETHAL_COST)
        for number in result.ids(*roles)
        if cost[number] <= LETHAL_COST
    }
