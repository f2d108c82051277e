"""Results -> messages."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from regseg_core.arrays import Image as Pixels
from regseg_core.encodings import ENCODINGS
from regseg_core.labels import LabelSet


def image_message(pixels: Pixels, encoding: str, header: Header) -> Image:
    """Uint8 in the shape of an encoding of `ENCODINGS` -> a message with unpadded rows.

    Raises FrameError for another shape.
    """
    message = Image(header=header, encoding=encoding)
    message.height, message.width = ENCODINGS[encoding].check(pixels)
    message.step = pixels[0].size
    # An array.array is taken as it is; an ndarray would be checked element by element.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data)
    message.data = data
    return message


def label_info_message(labels: LabelSet, header: Header) -> Any:
    """vision_msgs/LabelInfo: id and name of every class. Raises ImportError without vision_msgs."""
    from vision_msgs.msg import LabelInfo, VisionClass

    classes = [VisionClass(class_id=c.id, class_name=c.name) for c in labels.classes]
    return LabelInfo(header=header, class_map=classes)
