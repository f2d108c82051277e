"""Compiling in a process of its own, so that frames are segmented meanwhile without a hitch."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from regseg_core.backends.base import BackendError, Job
from regseg_core.backends.spec import GraphSpec
from regseg_core.weights import ModelCard

_RUNNING: set[subprocess.Popen[bytes]] = set()


def payload_from_child(backend: str, job: Job) -> bytes:
    """What `Portable.payload` gives, from a process with less priority than this one.

    Raises BackendError with the last line of what the process said.
    """
    request = {
        "backend": backend,
        "card": job.card.to_json(),
        "path": str(job.path.resolve()),
        "spec": asdict(job.spec),
        "device": str(job.device),
    }
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    process = subprocess.Popen(
        [sys.executable, "-m", "regseg_core.backends.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    _RUNNING.add(process)
    try:
        payload, errors = process.communicate(json.dumps(request).encode())
    finally:
        _RUNNING.discard(process)
    if process.returncode < 0:
        raise BackendError(
            f"the compiling process was ended by {signal.Signals(-process.returncode).name}"
        )
    if process.returncode:
        said = errors.decode(errors="replace").strip().splitlines()
        raise BackendError(said[-1] if said else f"it ended with {process.returncode}")
    return payload


@atexit.register
def _end_all() -> None:
    """What nobody waits for any more must not go on for minutes."""
    for process in list(_RUNNING):
        process.terminate()


def main() -> None:
    """Reads a request from stdin and writes the payload to stdout."""
    from regseg_core.backends.choose import portable

    # Libraries print; the payload alone goes to the real stdout.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.nice(10)
    request = json.load(sys.stdin)
    spec = request["spec"]
    spec["size"] = spec["size"] and tuple(spec["size"])
    card = ModelCard.from_json(request["card"])
    device = torch.device(request["device"])
    job = Job(card, Path(request["path"]), GraphSpec(**spec), device, None)
    with out:
        out.write(portable(request["backend"]).payload(job))


if __name__ == "__main__":
    main()
