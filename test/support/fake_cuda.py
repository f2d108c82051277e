"""Stands in for PyTorch's CUDA where there is no GPU: its streams, its recordings, its errors."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

#: What other tests made may live on: each has streams of its own.
_hundreds = itertools.count(100, 100)


class FakeCuda:
    """What was asked of the GPU. `order`: which of its streams are handed out, in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]) -> None:
        first = next(_hundreds)
        #: Handles of its streams.
        self.streams = [first + place for place in range(max(order) + 1)]
        handles = itertools.cycle([self.streams[place] for place in order])
        #: Recordings that were begun, and replays.
        self.recordings = self.replays = 0
        #: What a recording ends with, if it fails.
        self.error: Exception | None = None
        self.current = 0
        fake = self

        class Stream:
            def __init__(self, device: torch.device) -> None:
                self.cuda_stream = next(handles)

            def synchronize(self) -> None: ...

        class Event:
            def record(self) -> None: ...
            def synchronize(self) -> None: ...

        class Graph:
            def replay(self) -> None:
                fake.replays += 1

        @contextlib.contextmanager
        def graph(*_: Any, **__: Any) -> Iterator[None]:
            fake.recordings += 1
            yield
            if fake.error is not None:
                raise fake.error

        @contextlib.contextmanager
        def stream(chosen: Stream) -> Iterator[None]:
            before, fake.current = fake.current, chosen.cuda_stream
            yield
            fake.current = before

        empty = torch.empty
        monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **k: empty(*a, **k))
        for name, thing in {
            "Stream": Stream,
            "Event": Event,
            "CUDAGraph": Graph,
            "graph": graph,
            "stream": stream,
            "device": lambda device: contextlib.nullcontext(),
        }.items():
            monkeypatch.setattr(torch.cuda, name, thing)


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, capability: str, title: str) -> torch.device:
    """Has PyTorch say that there is a GPU of that compute capability; returns its device."""
    major, minor = map(int, capability.split("."))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (major, minor))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: title)
    monkeypatch.setattr("regseg_core.backends.tensorrt.device_title", lambda device: title)
    return torch.device("cuda", 0)
