"""SHIM"""

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage

from regseg_core import Frame


def to_frame(message: CompressedImage, max_pixels: int) -> Frame:
    return Frame.of(cv2.imdecode(np.frombuffer(message.data, np.uint8), 1), "bgr8")
