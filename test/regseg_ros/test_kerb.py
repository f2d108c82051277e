"""The node's free space on a street that it has never seen, against the street's plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from rig import Rig, image
from sensor_msgs.msg import CameraInfo, LaserScan

from regseg_core.data.synthetic import HELD_OUT_SEED, SyntheticStreet
from regseg_core.data.synthetic.painter import CAMERA_HEIGHT
from regseg_core.data.synthetic.plan import ROAD_EDGE
from regseg_core.geometry.ground import GroundView, Pose
from regseg_core.labels import CAMVID
from regseg_ros.geometry.calibration import info_message

OTHERS = [name for name in CAMVID.names if name not in ("road", "sky")]
#: A car's: the pavement is no ground.
GROUPS = {
    "groups": [
        {"name": "road", "color": [0, 160, 0], "cost": 0, "role": "ground", "classes": ["road"]},
        {"name": "rest", "color": [9, 9, 9], "cost": 254, "role": "obstacle", "classes": OTHERS},
    ]
}


@pytest.mark.integration
def test_the_node_measures_the_kerb_up_to_15_metres(fresh: Rig, tmp_path: Path) -> None:
    groups = tmp_path / "car.yaml"
    groups.write_text(yaml.safe_dump(GROUPS))
    street = SyntheticStreet(seed=HELD_OUT_SEED + 1)
    values = {"camera_height": CAMERA_HEIGHT, "ground_range": 16.0, "grid_cell": 0.5}
    fresh.start(
        *(part for name, value in values.items() for part in ("-p", f"{name}:={value}")),
        *["-p", f"groups:={groups}"],
    )
    scans = fresh.listen("/regseg/free_space", LaserScan)
    infos = fresh.publisher("/camera/camera_info", CameraInfo)
    fresh.until_connected()
    frame = image(street.frame(5.0)[0], "rgb8")

    def measured() -> bool:
        infos.publish(info_message(street.camera, frame.header))
        return bool(scans)

    fresh.send_until(frame, measured)
    scan = scans[0]
    bearings = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    true = ROAD_EDGE / np.abs(np.sin(bearings))
    # Where the image reaches down to the kerb, and there is no car before it.
    view = GroundView(street.camera, Pose(CAMERA_HEIGHT), cell=0.5, max_range=16.0)
    rows, _ = view.pixels_of((true * np.cos(bearings))[None], (true * np.sin(bearings))[None])
    kerb = (rows[0] >= 0) & (true < 15)
    assert kerb.sum() > 150 and (bearings[kerb].min() < -0.4) and (bearings[kerb].max() > 0.4)
    off = np.abs(np.array(scan.ranges)[kerb] / true[kerb] - 1)
    assert off.max() < 0.05, f"median {np.median(off):.3f}"
    assert scan.header.frame_id == "base_link" and scan.header.stamp == frame.header.stamp
