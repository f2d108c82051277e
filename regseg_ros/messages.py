"""Results -> messages."""

from __future__ import annotations

import array
from typing import Any

from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from regseg_core.arrays import Image as Pixels
from regseg_core.labels import LabelSet
from regseg_core.outputs import Output


def compressed_message(pixels: Pixels, output: Output, header: Header) -> CompressedImage:
    """Uint8 pixels of an output -> its file in a message, named as image_transport names it."""
    return CompressedImage(
        header=header,
        format=output.compressed_format(pixels),
        data=message_bytes(output.codec.encode(pixels)),
    )


def label_info_message(labels: LabelSet, header: Header) -> Any:
    """vision_msgs/LabelInfo: id and name of every class. Raises ImportError without vision_msgs."""
    from vision_msgs.msg import LabelInfo, VisionClass

    classes = [VisionClass(class_id=c.id, class_name=c.name) for c in labels.classes]
    return LabelInfo(header=header, class_map=classes)


def message_bytes(data: bytes | memoryview, kind: str = "B") -> array.array[int]:
    """What a message takes as it is; an ndarray would be checked element by element."""
    made = array.array(kind)
    made.frombytes(memoryview(data).cast("B"))
    return made
