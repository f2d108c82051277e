"""Cameras with depth, lidars and calibrations: their messages, and a node that hears them."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from rig import TOPIC, Rig, image
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from regseg_core.arrays import Image as Pixels
from regseg_core.data.synthetic import SyntheticStreets

HEIGHT, WIDTH, FOCAL = 64, 96, 80.0
FRAME = SyntheticStreets(1, WIDTH, HEIGHT)[0][0]
TOPICS = {"": TOPIC, "front": "/front/image_raw", "rear": "/rear/image_raw"}
#: From ROS' axes to the optical frame.
OPTICAL = "[0.0, 0.0, 0.0, 0.5, -0.5, 0.5, 0.5]"
#: Depth of a slanted wall, in m.
SLANTED = 3.0 + 0.02 * np.arange(WIDTH) + 0.01 * np.arange(HEIGHT)[:, None]

#: A node with a depth camera in front and a lidar behind, above the ground.
NODE = {
    "cameras": "[front, rear]",
    "no_mask_after": "1.0",
    "front.depth_topic": "/front/depth",
    "rear.cloud_topic": "/lidar",
    "rear.cloud_to_camera": OPTICAL,
    "rear.camera_height": "1.2",
    "rear.camera_pitch": "0.1",
    "grid_cell": "0.5",
}


def start(made: Rig, **changes: str) -> Rig:
    """Starts that node, with other parameters."""
    given = {**NODE, **changes}
    made.start(*(flag for n, v in given.items() for flag in ("-p", f"{n}:={v}")))
    made.until_said("active:")
    return made


def info(**changes: Any) -> CameraInfo:
    k = [FOCAL, 0.0, 47.5, 0.0, FOCAL, 31.5, 0.0, 0.0, 1.0]
    made = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", k=k)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def depth(metres: npt.NDArray[np.float64]) -> Image:
    data = np.round(metres * 1000).astype("<u2")
    height, width = data.shape
    return Image(
        height=height,
        width=width,
        encoding="16UC1",
        step=2 * width,
        data=array.array("B", data.tobytes()),
    )


def cloud(points: npt.NDArray[np.float32]) -> PointCloud2:
    fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
    return PointCloud2(
        height=1,
        width=len(points),
        fields=fields,
        point_step=12,
        row_step=12 * len(points),
        data=array.array("B", points.tobytes()),
    )


def read(message: PointCloud2, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    assert [(f.name, f.offset) for f in message.fields] == [
        (name, dtype.fields[name][1])  # type: ignore[index]
        for name in dtype.names or ()
    ]
    assert message.point_step == dtype.itemsize
    found = np.frombuffer(message.data, dtype)
    return found.reshape(message.height, message.width) if message.height > 1 else found


def send_until(
    running: Rig,
    camera: str,
    others: dict[str, Any],
    ready: Callable[[], Any],
    frame: Pixels = FRAME,
) -> Image:
    """A frame with what was measured with it, again and again under one header until `ready`."""
    topic = TOPICS[camera]
    for other, message in others.items():
        running.publisher(other, type(message))
    running.until_connected(topic)
    sent = running.send(image(frame, "rgb8"), topic)
    for attempt in range(60):
        for other, message in others.items():
            message.header.stamp = sent.header.stamp
            message.header.frame_id = message.header.frame_id or sent.header.frame_id
            running.publisher(other, type(message)).publish(message)
        if attempt:
            running.publisher(topic).publish(sent)
        running.until(ready, seconds=1.0, strict=False)
        if ready():
            return sent
    raise AssertionError(running.stuck())
