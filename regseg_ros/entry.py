"""What `ros2 run regseg_ros ...` starts: signals are caught before imports that take seconds."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from regseg_ros import settings, signals
from regseg_ros.usage import usage


def segmenter() -> None:
    # Read when PyTorch is imported. OpenMP's threads wait for one another at each operator. As they
    # are set, they spin for a millisecond, on cores that other programs want: frames take seconds.
    # Asleep at once, they take 1.6 times as long on idle cores. So: some microseconds of spinning.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
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
