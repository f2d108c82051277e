#!/usr/bin/env python3
"""Prints in ms what each encoding costs: docs/encodings.md, "Time".

A line each: median and least time from a message to its frame, then from the message to labels.
"""

from __future__ import annotations

import array
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from regseg_core import Frame, Segmenter
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.device import keep_freed_memory
from regseg_core.encodings import ENCODINGS
from regseg_core.messages import compressed, uncompressed

SIZES = [(480, 640), (720, 1280)]
ROUNDS = 40


def raw(
    pixels: np.ndarray[Any, Any], encoding: str, height: int, width: int
) -> Callable[[], Frame]:
    data = array.array("B", pixels.tobytes())
    step = pixels[0].nbytes
    message = Image(height=height, width=width, encoding=encoding, step=step, data=data)
    return lambda: uncompressed.to_frame(message)


def packed(file: np.ndarray[Any, Any]) -> Callable[[], Frame]:
    message = CompressedImage(format="jpeg", data=array.array("B", file.tobytes()))
    return lambda: compressed.to_frame(message, 64_000_000)


def inputs(rgb: np.ndarray[Any, Any]) -> dict[str, Callable[[], Frame]]:
    height, width, _ = rgb.shape
    gray, bgr = rgb[..., 1], np.ascontiguousarray(rgb[..., ::-1])
    made = {
        row.name: raw(row.from_rgb(rgb), row.name, height, width)
        for row in dict.fromkeys(ENCODINGS.values())
    }
    wide = gray.astype(np.uint16) << 8
    return {
        **made,
        "mono16": raw(wide, "mono16", height, width),
        "bayer_rggb8": raw(gray, "bayer_rggb8", height, width),
        "bayer_rggb16": raw(wide, "bayer_rggb16", height, width),
        "jpeg": packed(cv2.imencode(".jpg", bgr)[1]),
        "png": packed(cv2.imencode(".png", bgr)[1]),
    }


def main() -> None:
    keep_freed_memory()
    # One each: a segmenter keeps fewer kinds of frames ready than there are encodings.
    segmenters = {
        name: Segmenter(backend="openvino") for name in {row.name for row in ENCODINGS.values()}
    }
    print(segmenters["bgr8"].description)
    for height, width in SIZES:
        kinds = inputs(SyntheticStreet(width, height).frame(0.0)[0])
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for turn in range(ROUNDS + 3):
            for name, to_frame in kinds.items():
                started = time.perf_counter()
                frame = to_frame()
                converted = time.perf_counter()
                segmenters[frame.encoding].segment([frame], confidence=True)
                ended = time.perf_counter()
                if turn >= 3:
                    times[name].append((converted - started, ended - started))
        for name, both in times.items():
            made, whole = zip(*both, strict=True)
            line = (1000 * value for value in (median(made), min(made), median(whole), min(whole)))
            print(f"{height} x {width} {name:14}", *(f"{ms:7.2f}" for ms in line), flush=True)


if __name__ == "__main__":
    main()
