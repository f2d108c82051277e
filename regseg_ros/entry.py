"""What `ros2 run regseg_ros ...` starts: catches signals, then imports the node, for seconds."""

from __future__ import annotations

import importlib

from regseg_ros import signals


def segmenter() -> None:
    _start("segmenter")


def video_source() -> None:
    _start("video_source")


def recorder() -> None:
    _start("recorder")


def _start(module: str) -> None:
    signals.catch()
    importlib.import_module(f"regseg_ros.{module}").main()
