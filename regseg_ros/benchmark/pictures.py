"""Frames that a camera sends: real ones, in its size and encoding, made before the clock starts."""

from __future__ import annotations

import array
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from regseg_core.arrays import Image as Pixels
from regseg_core.data.opening import open_split
from regseg_core.data.synthetic import STREET
from regseg_core.encodings import ENCODINGS
from regseg_core.media import holds_images
from regseg_ros.cdr import serialized_image
from regseg_ros.video_source import check_source, open_source

#: So many different ones; they are sent again and again.
COUNT = 16

#: Of 100, as compressed_image_transport has it by default.
_JPEG_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 80)


def pictures(data: str, height: int, width: int, count: int = COUNT) -> list[Pixels]:
    """H x W x 3 uint8 RGB of the street, a folder of images, a video, or a data set's split val.

    Raises MediaError or DataError where there are none.
    """
    check_source(data)
    folder = Path(data)
    if data == STREET or not folder.is_dir() or holds_images(folder):
        found = list(islice(open_source(data, 5.0, (width, height), loop=True), count))
    else:
        split = open_split(data, "val")
        step = max(1, len(split) // count)
        found = [split[index][0] for index in range(0, len(split), step)[:count]]
    return [cv2.resize(image, (width, height)).astype(np.uint8, copy=False) for image in found]


def image_messages(images: list[Pixels], encoding: str) -> list[Image]:
    """The same as a driver without compression sends them."""
    row = ENCODINGS[encoding]
    return [
        deserialize_message(serialized_image(row.from_rgb(image), row.name, Header()), Image)
        for image in images
    ]


def jpeg_messages(images: list[Pixels]) -> list[CompressedImage]:
    """The same as JPEG files."""
    return [
        CompressedImage(format="bgr8; jpeg compressed bgr8", data=array.array("B", _jpeg(image)))
        for image in images
    ]


def _jpeg(image: Pixels) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, _JPEG_QUALITY)[1].tobytes()
