"""What `ros2 run regseg_ros ...` starts: signals are caught before imports that take seconds."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from regseg_ros import settings, signals
from regseg_ros.early import arrange_threads
from regseg_ros.usage import usage


def segmenter() -> None:
    arrange_threads("regseg", sys.argv[1:])
    _start("segmenter", settings.SegmenterSettings)


def video_source() -> None:
    _start("video_source", settings.SourceSettings)


def recorder() -> None:
    _start("recorder", settings.RecorderSettings)


def ground_recorder() -> None:
    _start("ground_recorder", settings.GroundRecorderSettings)


def doctor() -> None:
    _start("doctor.__main__", interrupted=1)  # no verdict is not a good one


def _start(module: str, parameters: type[Any] | None = None, interrupted: int = 0) -> None:
    if parameters is not None and {"-h", "--help"} & set(sys.argv[1:]):
        print(usage(module, parameters))
        return
    signals.catch(interrupted)
    try:
        importlib.import_module(f"regseg_ros.{module}").main()
    finally:
        signals.ignore()
    signals.done()
