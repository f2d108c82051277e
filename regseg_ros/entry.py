"""What `ros2 run regseg_ros ...` starts: signals are caught before imports that take seconds."""

from __future__ import annotations

import importlib
import os

from regseg_ros import signals


def segmenter() -> None:
    # Read when PyTorch is imported. OpenMP's threads else wait for one another by spinning, a
    # millisecond for each operator, which on cores that others use too makes frames ten times
    # as slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _start("segmenter")


def video_source() -> None:
    _start("video_source")


def recorder() -> None:
    _start("recorder")


def doctor() -> None:
    _start("doctor.__main__", interrupted=1)  # no verdict is not a good one


def _start(module: str, interrupted: int = 0) -> None:
    signals.catch(interrupted)
    try:
        importlib.import_module(f"regseg_ros.{module}").main()
    finally:
        signals.ignore()
    signals.done()
