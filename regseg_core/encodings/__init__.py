"""The encodings of camera images that the graph takes; one row each, one file a family."""

from __future__ import annotations

import cv2

from regseg_core.encodings.encoding import Encoding
from regseg_core.encodings.gray import Gray
from regseg_core.encodings.packed import Packed
from regseg_core.encodings.yuv import Packed422, SemiPlanar

_ROWS: tuple[Encoding, ...] = (
    Packed("rgb8", (0, 1, 2), 3),
    Packed("bgr8", (2, 1, 0), 3, cv2.COLOR_BGR2RGB, cv2.COLOR_RGB2BGR),
    Packed("rgba8", (0, 1, 2), 4, cv2.COLOR_RGBA2RGB, cv2.COLOR_RGB2RGBA),
    Packed("bgra8", (2, 1, 0), 4, cv2.COLOR_BGRA2RGB, cv2.COLOR_RGB2BGRA),
    Gray(),
    Packed422("uyvy", 1, cv2.COLOR_YUV2RGB_UYVY),
    Packed422("yuyv", 0, cv2.COLOR_YUV2RGB_YUY2),
    SemiPlanar("nv12", 2, 0, cv2.COLOR_YUV2RGB_NV12),
    SemiPlanar("nv21", 2, 1, cv2.COLOR_YUV2RGB_NV21),
    SemiPlanar("nv24", 1, 0),
)

#: Names of the same bytes: ROS' before Jazzy, and OpenCV's types, which mean OpenCV's order.
_ALIASES = {
    "yuv422": "uyvy",
    "yuv422_yuy2": "yuyv",
    "8UC1": "mono8",
    "8UC3": "bgr8",
    "8UC4": "bgra8",
}

#: By all names that drivers give them; a row's own `name` is the one to keep.
ENCODINGS: dict[str, Encoding] = {row.name: row for row in _ROWS}
ENCODINGS.update({alias: ENCODINGS[name] for alias, name in _ALIASES.items()})
