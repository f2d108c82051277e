"""Stands in for tf2_ros, which has no wheel: one transform, in a file that a test may change.

As the real one does, it raises an exception of its own where it knows no way, and hands on what was
published, NaN too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3


class LookupException(Exception):  # noqa: N818 - tf2's name
    pass


class Buffer:
    def __init__(self) -> None:
        self.listeners = 0

    def lookup_transform(self, target: str, source: str, time: Any) -> TransformStamped:
        known = json.loads(Path(os.environ["TF2_STAND_IN"]).read_text())
        if not self.listeners or f"{target} {source}" not in known:
            raise LookupException(f'"{source}" passed to lookupTransform\ndoes not exist.')
        x, y, z, qx, qy, qz, qw = known[f"{target} {source}"]
        found = TransformStamped()
        found.transform = Transform(
            translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw)
        )
        return found


class TransformListener:
    def __init__(self, buffer: Buffer, node: Any) -> None:
        self.buffer = buffer
        buffer.listeners += 1

    def unregister(self) -> None:
        self.buffer.listeners -= 1
