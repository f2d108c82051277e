"""Draws what the outputs of docs/places.md look like, on the synthetic street: docs/places-*.

The network labels the image; depth is the street's true one, with a depth camera's noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from regseg_core import Segmenter, zoo
from regseg_core.arrays import Doubles, Image, sampled
from regseg_core.data.synthetic import HELD_OUT_SEED, SyntheticStreet
from regseg_core.data.synthetic.painter import CAMERA_HEIGHT
from regseg_core.drawing import legend, sheet
from regseg_core.geometry.camera_model import Floats
from regseg_core.geometry.drawing import FREE, LINE, FromAbove, Onlooker, cost_image
from regseg_core.geometry.grid import LETHAL, GroundGrid
from regseg_core.geometry.ground import FreeSpace, GroundView, Pose, free_space, ground_depth
from regseg_core.geometry.picture import Ground, ground_picture, map_legend
from regseg_core.geometry.points import (
    Points,
    PointSettings,
    from_depth,
    packed_colors,
    places,
    without,
)
from regseg_core.groups import Groups, Role
from regseg_core.labels import LabelClass
from regseg_core.segmentation import Segmentation

ROOT = Path(__file__).resolve().parents[1]
#: Metres that the depth camera sees.
REACH = 25.0
UNKNOWN_DEPTH = LabelClass(0, "no depth", (0, 0, 0))


@dataclass(frozen=True)
class Scene:
    """One image of the street, segmented, with its depth."""

    street: SyntheticStreet
    time: float
    result: Segmentation

    @cached_property
    def image(self) -> Image:
        """H x W x 3 uint8 RGB."""
        return self.result.frame.rgb()

    @cached_property
    def depth(self) -> Floats:
        """H x W float32 in m as a stereo camera has it: 1 % off at 5 m, more beyond; 0: unknown."""
        true = self.street.depth(self.time)
        noise = np.random.default_rng(0).normal(0, 0.002, true.shape) * np.minimum(true, 99) ** 2
        return np.where(true < REACH, true + noise, 0).astype(np.float32)

    @cached_property
    def points(self) -> Points:
        """Labelled points of the depth."""
        return self.organised(self.depth)

    @cached_property
    def view(self) -> GroundView:
        """The ground that the camera sees, up to 15 m."""
        return GroundView(self.street.camera, Pose(CAMERA_HEIGHT), cell=0.4, max_range=15.0)

    @cached_property
    def free(self) -> FreeSpace:
        """How far the ground goes."""
        result = self.result
        return free_space(self.view, result.labels, result.ids(Role.GROUND), result.unlabelled)

    @cached_property
    def ends(self) -> tuple[Doubles, Doubles]:
        """Metres ahead and to the left of where it ends."""
        ends = np.minimum(self.free.distances, self.view.max_range)
        return ends * np.cos(self.free.bearings), ends * np.sin(self.free.bearings)

    def organised(self, depth: Floats) -> Points:
        """Labelled points of a depth."""
        result, rays = self.result, self.street.camera.rays
        colors = packed_colors(result.label_set.palette)
        return from_depth(
            depth, rays, result.labels, result.confidence, colors, PointSettings(max_range=REACH)
        )


def xyz(points: Points) -> Floats:
    """N x 3 metres."""
    return np.stack([points[axis].ravel() for axis in "xyz"], axis=1)


def colors(points: Points) -> Image:
    """N x 3 uint8 RGB."""
    rgb = points["rgb"].ravel()
    return np.stack([rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255], axis=1).astype(np.uint8)


def with_legend(picture: Image, classes: list[LabelClass]) -> Image:
    """A picture over its legend."""
    return np.concatenate([picture, legend(classes, picture.shape[1])], axis=0)


def classes_of(scene: Scene) -> list[LabelClass]:
    """What the mask's colours mean."""
    return list(scene.result.label_set.classes)


def draw_cost(scene: Scene) -> Image:
    """Image, mask and cost."""
    row = scene.image, scene.result.mask(), cost_image(scene.result.cost())
    picture = sheet([row], ("camera", "mask", "cost, here in colours"), classes_of(scene))
    return with_legend(picture, map_legend()[:-1])


def draw_label_small(scene: Scene) -> Image:
    """Labels at the image's size and at a sixth of it, drawn as large."""
    size = scene.street.width // 6, scene.street.height // 6
    palette = scene.result.label_set.palette
    small = palette[sampled(scene.result.labels, size)]
    full = scene.street.width, scene.street.height
    large = cv2.resize(small, full, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    titles = "label, 480 x 360 (colours: mask)", "label_small, 80 x 60, drawn as large"
    return sheet([(scene.result.mask(), large)], titles, classes_of(scene))


def draw_points(scene: Scene) -> Image:
    """Points from behind the camera, and the obstacles from above."""
    behind = Onlooker(right=2.5, up=4.5, back=5.0, pitch=0.28, yaw=0.12).sees(
        xyz(scene.points), colors(scene.points)
    )
    ids = scene.result.ids(Role.OBSTACLE, Role.DYNAMIC)
    kept = scene.points[np.isin(scene.points["label"], list(ids)) & (scene.points["z"] > 0)]
    found = places(scene.points, ids)
    above = FromAbove(REACH, REACH * 2 / 3, (360 - FromAbove.foot) / REACH)
    above.points(found["z"], -found["x"], colors(kept))
    above.scale_bars()
    titles = "camera", "points, from behind", "obstacles, from above (coloured here)"
    return sheet([(scene.image, behind, above.image)], titles, classes_of(scene))


def draw_static_depth(scene: Scene) -> Image:
    """Depth before and after."""
    dynamic = scene.result.ids(Role.DYNAMIC)
    left = without(scene.depth, scene.result.labels, dynamic, grow=5)
    titles = "camera", "depth: 3 m blue ... 25 m red", "static_depth"
    row = scene.image, depth_image(scene.depth), depth_image(left)
    return sheet([row], titles, [UNKNOWN_DEPTH])


def depth_image(depth: Floats) -> Image:
    """H x W float32 in m -> H x W x 3 uint8 RGB, black where it is unknown."""
    share = np.log(np.clip(depth, 3, REACH) / 3) / np.log(REACH / 3)
    shown = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(depth[..., None] > 0, shown, 0).astype(np.uint8)


def draw_free_space(scene: Scene) -> Image:
    """The line over the image, and the same line from above."""
    ahead, left = scene.ends
    rows, columns = (found[0] for found in scene.view.pixels_of(ahead[None], left[None]))
    over = scene.image.copy()
    seen = rows >= 0
    line = np.stack([columns, rows], axis=1)[seen].astype(np.int32)
    corners = [(line[0][0], 360), *line, (line[-1][0], 360)]
    tint = over.copy()
    cv2.fillPoly(tint, [np.array(corners, np.int32)], FREE)
    over = cv2.addWeighted(over, 0.55, tint, 0.45, 0).astype(np.uint8)
    cv2.polylines(over, [line], False, LINE, 2, cv2.LINE_AA)
    above = FromAbove(15.0, 10.0, (360 - FromAbove.foot) / 15)
    above.area(ahead, left, FREE)
    above.line(ahead, left)
    above.scale_bars()
    titles = "free_space, over the image", "free_space, from above"
    return sheet([(over, above.image)], titles, [map_legend()[-1]])


def draw_grid(scene: Scene) -> Image:
    """The demo's picture."""
    result = scene.result
    costs = {i: round(int(result.costs()[i]) * LETHAL / 254) for i in result.ids(Role.GROUND)}
    cells = GroundGrid(scene.view, costs).add(result.labels, scene.free)
    ground = Ground(cells, scene.view.cell, *scene.ends)
    return ground_picture(scene.image, result.mask(), ground, classes_of(scene))


def draw_ground_points(scene: Scene) -> Image:
    """Ground points from behind the camera, and what is made of them from above."""
    result = scene.result
    depth = ground_depth(scene.view, result.labels, result.ids(Role.GROUND), scene.free)
    points = scene.organised(depth)
    behind = Onlooker(right=2.5, up=4.5, back=5.0, pitch=0.38, yaw=0.12).sees(
        xyz(points), colors(points)
    )
    titles = "camera", "ground_points, from behind: no depth camera"
    return sheet([(scene.image, behind)], titles, classes_of(scene))


PICTURES: dict[str, Callable[[Scene], Image]] = {
    "cost": draw_cost,
    "label_small": draw_label_small,
    "points": draw_points,
    "static_depth": draw_static_depth,
    "free_space": draw_free_space,
    "grid": draw_grid,
    "ground_points": draw_ground_points,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED + 2, help="the street")
    parser.add_argument("--time", type=float, default=24.5, help="seconds along the street")
    options = parser.parse_args()
    segment = Segmenter(weights=zoo.DEFAULT, backend="eager")
    street = SyntheticStreet(seed=options.seed)
    groups = Groups.load(str(ROOT / "config" / "groups.yaml"), segment.labels)
    frame, _ = street.frame(options.time)
    found = segment(frame, "rgb8", confidence=True)
    grouped = Segmentation(
        found.labels, found.confidence, found.label_set, found.frame, groups
    ).grouped()
    for name, draw in PICTURES.items():
        path = options.out / f"places-{name}.jpg"
        picture = draw(Scene(street, options.time, grouped))
        cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        print(f"{path.name:28}{path.stat().st_size / 1000:7.0f} kB")


if __name__ == "__main__":
    main()
