"""A small procedural street with moving cars and its true labels: a scene that needs no files.

A pinhole camera drives along a straight street. Everything that stands on it is a flat shape at a
place (x to the right, z ahead, in metres) and is painted from far to near, in colours on the image
and in class indices of the built-in label set `camvid` on the label.
"""

from regseg_core.data.synthetic.street import (
    HELD_OUT_SEED,
    STREET,
    SyntheticStreet,
    SyntheticStreets,
)

__all__ = ["HELD_OUT_SEED", "STREET", "SyntheticStreet", "SyntheticStreets"]
