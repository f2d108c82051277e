"""Compiling in a process of its own, so that frames are segmented meanwhile without a hitch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import torch

from regseg_core.backends.base import BackendError, Job
from regseg_core.backends.spec import GraphSpec
from regseg_core.weights import ModelCard

Process = subprocess.Popen[bytes]

#: Seconds for a process to end by itself.
_PATIENCE = 5.0


class ClosedError(BackendError):
    """Nobody wants what was being compiled any more."""


class Compilers:
    """The processes that compile for one Segmenter; they end with it."""

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._lock = threading.Lock()
        self._closed = False
        # Also at this process's exit, for who does not close.
        weakref.finalize(self, _end, self._running)

    def payload(self, backend: str, job: Job) -> bytes:
        """What `Portable.payload` gives, from a process with less priority than this one.

        Raises BackendError with the last line of what the process said, ClosedError after `close`.
        """
        request = {
            "backend": backend,
            "card": job.card.to_json(),
            "path": str(job.path.resolve()),
            "spec": job.spec.to_dict(),
            "device": str(job.device),
        }
        process = self._start()
        try:
            payload, errors = process.communicate(json.dumps(request).encode())
        finally:
            self._running.discard(process)
        self.refuse_if_closed()
        if process.returncode < 0:
            name = signal.Signals(-process.returncode).name
            raise BackendError(f"the compiling process was ended by {name}")
        if process.returncode:
            said = errors.decode(errors="replace").strip().splitlines()
            raise BackendError(said[-1] if said else f"it ended with {process.returncode}")
        return payload

    def refuse_if_closed(self) -> None:
        """Raises ClosedError after `close`."""
        if self._closed:
            raise ClosedError("compiling was ended")

    def close(self) -> None:
        """Ends what is compiling, and starts no more."""
        with self._lock:
            self._closed = True
        _end(self._running)

    def _start(self) -> Process:
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        with self._lock:
            self.refuse_if_closed()
            process = subprocess.Popen(
                [sys.executable, "-m", "regseg_core.backends.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
            self._running.add(process)
            return process


def _end(running: set[Process]) -> None:
    processes = list(running)
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> None:
    """Reads a request from stdin and writes the payload to stdout."""
    from regseg_core.backends.choose import portable

    # Libraries print; the payload alone goes to the real stdout.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.nice(10)
    request: dict[str, Any] = json.load(sys.stdin)
    job = Job(
        ModelCard.from_json(request["card"]),
        Path(request["path"]),
        GraphSpec.from_dict(request["spec"]),
        torch.device(request["device"]),
    )
    with out:
        out.write(portable(request["backend"]).payload(job))


if __name__ == "__main__":
    main()
