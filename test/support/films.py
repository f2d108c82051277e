"""Small videos, written for tests."""

from __future__ import annotations

from pathlib import Path

from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.media import VideoWriter


def write_film(path: Path, frames: int = 30) -> Path:
    with VideoWriter(path, 10) as video:
        for step in range(frames):
            video.write(SyntheticStreet(160, 120).frame(step / 10)[0])
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
