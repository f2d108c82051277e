"""What points and ground cost at 640 x 480, each with its message: medians, one core.

    python scripts/measure_places.py [--rounds 30]

The baseline is `points` as one writes them first: rays in float64, columns stacked, packed row by
row. All go in turns, so that a busy machine disturbs them alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import cv2
import numpy as np
import torch
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from regseg_core import Frame, Segmentation
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.device import device_title, keep_freed_memory
from regseg_core.geometry.lidar import transform
from regseg_core.groups import Groups
from regseg_core.labels import CAMVID
from regseg_ros.geometry.mounting import Mounting
from regseg_ros.geometry.products import PRODUCTS
from regseg_ros.geometry.scene import Cloud, Depth, Scene
from regseg_ros.geometry.transforms import Transforms
from regseg_ros.messages import message_bytes
from regseg_ros.settings import CameraSettings, SegmenterSettings

WIDTH, HEIGHT, LIDAR_POINTS = 640, 480, 60_000
BASELINE = "points, as written first"
Work = Callable[[], object]


def by_the_book(scene: Scene) -> object:
    """Labelled points without any of our code."""
    assert scene.depth is not None and scene.camera is not None
    z = scene.depth.pixels.astype(np.float64) / 1000
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    x = (column - scene.camera.cx) / scene.camera.fx * z
    y = (row - scene.camera.cy) / scene.camera.fy * z
    red, green, blue = scene.result.mask().astype(np.uint32).transpose(2, 0, 1)
    color = ((red << 16) | (green << 8) | blue).view(np.float32)
    label = scene.result.labels.astype(np.uint32).view(np.float32)
    assert scene.result.confidence is not None
    sure = scene.result.confidence / 255
    columns = [c.astype(np.float32).ravel() for c in (x, y, z)]
    table = np.column_stack([*columns, color.ravel(), label.ravel(), sure.ravel()])
    return message_bytes(table.astype(np.float32).tobytes())


def works() -> Mapping[str, Work]:
    """What is measured, by name. Scenes are made anew each time, views of the ground are kept."""
    rng = np.random.default_rng(0)
    image, labels = SyntheticStreet(WIDTH, HEIGHT).frame(0.0)
    confidence = rng.integers(128, 255, labels.shape).astype(np.uint8)
    frame = Frame.of(image, "rgb8")
    result = Segmentation(labels, confidence, CAMVID, frame, Groups.fitting(CAMVID))
    metres = 1 + 7 * rng.random(labels.shape)
    depth = Depth((metres * 1000).astype(np.uint16), Image(encoding="16UC1"))
    k = [500.0, 0.0, 319.5, 0.0, 500.0, 210.0, 0.0, 0.0, 1.0]
    info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", k=k)
    camera = CameraSettings(camera_height=1.2, camera_pitch=0.1)
    settings, header = SegmenterSettings(), Header()
    mounting = Mounting(Transforms(None))
    model = mounting.model(info, False, labels.shape)
    # A lidar's: all around, and a little above and below the horizon.
    bearing = rng.uniform(-np.pi, np.pi, LIDAR_POINTS)
    distance = rng.uniform(2, 40, LIDAR_POINTS)
    up = distance * rng.uniform(-0.4, 0.1, LIDAR_POINTS)
    around = [distance * np.cos(bearing), distance * np.sin(bearing), up]
    to_camera = transform((0.5, -0.5, 0.5, 0.5), (0.0, 0.0, 0.0))
    cloud = Cloud(np.stack(around, axis=1).astype(np.float32), to_camera, header)

    def with_depth() -> Scene:
        return Scene(result, header, settings, model, depth=depth)

    def with_lidar() -> Scene:
        return Scene(result, header, settings, model, cloud=cloud)

    def on_ground() -> Scene:
        view = mounting.view(model, "camera", camera, settings)
        return Scene(
            *(result, header, settings, model),
            view=view,
            grid=mounting.grid(view, result, settings.grid_votes),
        )

    scenes = {"depth": with_depth, "points": with_depth, "ground": on_ground}
    found: dict[str, Work] = {BASELINE: lambda: by_the_book(with_depth())}
    for name, row in PRODUCTS.items():
        found[name] = lambda row=row: row.make(scenes[row.needs]())  # type: ignore[misc]
    found[f"points of a lidar, {LIDAR_POINTS}"] = lambda: PRODUCTS["points"].make(with_lidar())
    found["cost"] = lambda: result.cost()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    keep_freed_memory()
    seconds: dict[str, list[float]] = {}
    measured = works()
    for turn in range(rounds + 2):
        for name, work in measured.items():
            began = time.perf_counter()
            work()
            if turn >= 2:  # the first ones make what is kept
                seconds.setdefault(name, []).append(time.perf_counter() - began)
    print(f"{device_title(torch.device('cpu'))}, {WIDTH} x {HEIGHT}, medians of {rounds}")
    print("| output | ms | of the baseline |\n|---|---|---|")
    base = float(np.median(seconds[BASELINE]))
    for name, taken in seconds.items():
        median = float(np.median(taken))
        print(f"| {name} | {median * 1e3:.1f} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
