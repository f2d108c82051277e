"""Image message -> frame: without copying where the graph takes it, refused where it is wrong."""

from __future__ import annotations

import array
import math

import numpy as np
from sensor_msgs.msg import Image

from regseg_core import Frame
from regseg_core.arrays import Image as Pixels
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import FrameError


def to_frame(message: Image) -> Frame:
    """A view of the message's bytes for the encodings of the graph, others through cv_bridge.

    Raises FrameError for a size of zero, rows or data that are too short, and an encoding that
    neither knows.
    """
    if message.width == 0 or message.height == 0:
        raise FrameError(f"the image is {message.width} x {message.height} pixels")
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        return Frame.of(_through_cv_bridge(message), "bgr8")
    shape = encoding.shape(message.height, message.width)
    pixels = _rows(message, shape[0], math.prod(shape[1:])).reshape(shape)
    return Frame(pixels, message.encoding, message.height, message.width)


def _rows(message: Image, rows: int, row: int) -> Pixels:
    """So many rows of so many bytes: a view of the message's own memory, without the padding."""
    if len(message.data) < message.step * rows:
        raise FrameError(
            f"{len(message.data)} bytes of data are fewer than step x height ="
            f" {message.step} x {rows}"
        )
    if message.step < row:
        raise FrameError(
            f"step {message.step} is shorter than a row of {message.width} {message.encoding}"
            f" pixels, {row} bytes"
        )
    data = np.frombuffer(message.data, np.uint8, message.step * rows)
    return data.reshape(rows, message.step)[:, :row]


def _through_cv_bridge(message: Image) -> Pixels:
    try:
        from cv_bridge import CvBridge
    except ImportError as error:
        raise FrameError(
            f"encoding {message.encoding!r} needs cv_bridge, which is not installed ({error});"
            f" without it the node takes {', '.join(ENCODINGS)}"
        ) from error
    bridge = CvBridge()
    try:
        kind, channels = bridge.encoding_to_dtype_with_channels(message.encoding)
        # Some versions of cv_bridge take no notice of `step`, so the padding goes first.
        row = message.width * np.dtype(kind).itemsize * channels
        rows = _rows(message, message.height, row)
        data = array.array("B")
        data.frombytes(np.ascontiguousarray(rows).data)
        packed = Image(
            height=message.height,
            width=message.width,
            encoding=message.encoding,
            is_bigendian=message.is_bigendian,
            step=rows.shape[1],
            data=data,
        )
        pixels = bridge.imgmsg_to_cv2(packed, desired_encoding="bgr8")
    except FrameError:
        raise
    except Exception as error:  # its versions raise KeyError, TypeError, CvBridgeError, cv2.error
        raise FrameError(
            f"encoding {message.encoding!r} is known neither to this node"
            f" ({', '.join(ENCODINGS)}) nor to cv_bridge ({error!r}): set the camera driver to one"
            " of those"
        ) from error
    return np.ascontiguousarray(pixels, np.uint8)
