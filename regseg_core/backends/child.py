"""Compiling in a process of its own, so that frames are segmented meanwhile without a hitch."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from regseg_core.backends.base import BackendError, Building, Job
from regseg_core.backends.spec import GraphSpec
from regseg_core.calibration import Calibration
from regseg_core.weights import ModelCard

Process = subprocess.Popen[bytes]

#: Run by its path: as a module it would import PyTorch before it is bound to this process.
_SCRIPT = Path(__file__).with_name("compiling_process.py")

#: Of the process that compiles: the processor is there for frames first.
_NICENESS = 10

#: Seconds between two looks whether a wait has become pointless.
_LOOK = 0.1

#: Seconds for a killed process to end.
_PATIENCE = 1.0


class ClosedError(BackendError):
    """Nobody wants what was being compiled any more."""


class Compilers:
    """Processes that compile for one Segmenter, one at a time; they end with it."""

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._closed = threading.Event()
        # Also at this process's exit, for who does not close.
        weakref.finalize(self, _end, self._running, self._closed)

    def payload(self, backend: str, job: Job, folder: Path | None = None) -> bytes:
        """What `Portable.payload` gives, from a process with less priority than this one.

        `folder`: as in `Building`.

        Raises BackendError with the last line of what the process said, ClosedError after `close`.
        """
        request = {
            "backend": backend,
            "card": job.card.to_json(),
            "path": str(job.path.resolve()),
            "sha256": job.sha256,
            "spec": job.spec.to_dict(),
            "device": str(job.device),
            "folder": None if folder is None else str(folder),
            "calibration": None if job.calibration is None else job.calibration.to_json(),
        }
        while not self._turn.acquire(timeout=_LOOK):
            self.refuse_if_closed()
        try:
            return self._ask(json.dumps(request).encode())
        finally:
            self._turn.release()

    def refuse_if_closed(self) -> None:
        """Raises ClosedError after `close`."""
        if self._closed.is_set():
            raise ClosedError("compiling was ended")

    def close(self) -> None:
        """Ends what is compiling, and starts no more."""
        with self._lock:
            self._closed.set()
        _end(self._running, self._closed)

    def _ask(self, request: bytes) -> bytes:
        process = self._start()
        try:
            payload, errors = process.communicate(request)
        finally:
            process.kill()  # where waiting was interrupted
            self._running.discard(process)
        self.refuse_if_closed()
        if process.returncode < 0:
            name = signal.Signals(-process.returncode).name
            raise BackendError(f"the compiling process was ended by {name}")
        if process.returncode:
            said = errors.decode(errors="replace").strip().splitlines()
            raise BackendError(said[-1] if said else f"it ended with {process.returncode}")
        return payload

    def _start(self) -> Process:
        root = str(Path(__file__).resolve().parents[2])
        ours = {name: text for name, text in os.environ.items() if name != "GOMP_SPINCOUNT"}
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        with self._lock:
            self.refuse_if_closed()
            with _blocked(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                process = subprocess.Popen(
                    [sys.executable, str(_SCRIPT), str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={
                        **ours,
                        "OMP_WAIT_POLICY": "passive",  # no spinning on cores that frames need
                        "PYTHONPATH": os.pathsep.join(paths),
                    },
                )
            self._running.add(process)
        # From here, so that it holds for the imports too.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, os.nice(0) + _NICENESS)
        return process


@contextlib.contextmanager
def _blocked(*signals: signal.Signals) -> Iterator[None]:
    """For this thread, and for good in processes that it starts.

    A Ctrl-C, or a service manager that ends a whole group, means the process that has something to
    end in order; that one ends its compiler.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(running: set[Process], closed: threading.Event) -> None:
    closed.set()
    processes = list(running)
    for process in processes:
        process.kill()
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)


def main() -> None:
    """Reads a request from stdin and writes the payload to stdout."""
    from regseg_core.backends.choose import portable

    # Libraries print; the payload alone goes to the real stdout.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request: dict[str, Any] = json.load(sys.stdin)
    measured = request["calibration"]
    job = Job(
        ModelCard.from_json(request["card"]),
        Path(request["path"]),
        GraphSpec.from_dict(request["spec"]),
        torch.device(request["device"]),
        None if measured is None else Calibration.from_json(measured),
        request["sha256"],
    )
    folder = request["folder"]
    how = Building(folder=None if folder is None else Path(folder))
    with out:
        out.write(portable(request["backend"]).payload(job, how))
