"""regseg_core's log, through the node's logger; and warnings that do not fill it."""

from __future__ import annotations

import logging
import re
import time

from rclpy.impl.rcutils_logger import RcutilsLogger


class ToNode(logging.Handler):
    """Passes regseg_core's log on to a node's logger while it is open. Use as a context manager."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__(logging.INFO)
        self._node = logger
        self._core = logging.getLogger("regseg_core")

    def __enter__(self) -> ToNode:
        self._core.setLevel(logging.INFO)
        self._core.addHandler(self)
        self._core.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        self._core.removeHandler(self)
        self._core.propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        # rclpy remembers each calling line's severity, so that each has a line of its own.
        if record.levelno >= logging.ERROR:
            self._node.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._node.warning(record.getMessage())
        else:
            self._node.info(record.getMessage())


#: Seconds between two warnings of one kind.
THROTTLE = 5.0


class Warnings:
    """Logs a warning, one that differs in numbers alone at most every `THROTTLE` seconds.

    rclpy's own throttle goes by the line of code, so one bad camera setting would hide another.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        self._logger = logger
        self._said: dict[str, float] = {}

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        self._said = {kind: when for kind, when in self._said.items() if now - when < THROTTLE}
        kind = re.sub(r"\d+", "#", text)
        if kind not in self._said:
            self._said[kind] = now
            self._logger.warning(text)
