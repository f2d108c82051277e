"""The encodings of camera images that the graph takes; one row each, one file a family."""

from __future__ import annotations

import cv2

from regseg_core.encodings.encoding import Encoding
from regseg_core.encodings.gray import Gray
from regseg_core.encodings.packed import Packed

_ROWS: tuple[Encoding, ...] = (
    Packed("rgb8", (0, 1, 2), 3),
    Packed("bgr8", (2, 1, 0), 3, cv2.COLOR_BGR2RGB, cv2.COLOR_RGB2BGR),
    Packed("rgba8", (0, 1, 2), 4, cv2.COLOR_RGBA2RGB, cv2.COLOR_RGB2RGBA),
    Packed("bgra8", (2, 1, 0), 4, cv2.COLOR_BGRA2RGB, cv2.COLOR_RGB2BGRA),
    Gray(),
)

#: By the names that ROS gives them.
ENCODINGS: dict[str, Encoding] = {row.name: row for row in _ROWS}
