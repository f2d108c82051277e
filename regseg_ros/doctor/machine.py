"""This machine: weights, GPU, backends and the folder of engines. Needs no ROS."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from regseg_core import zoo
from regseg_core.backends.cache import EngineCache, default_folder
from regseg_core.backends.choose import candidates, choose_numbers
from regseg_core.backends.eager import Eager
from regseg_core.device import choose_device, device_title, unused_gpu
from regseg_core.errors import RegSegError
from regseg_core.weights import find_weights
from regseg_ros.doctor.verdict import Verdict, fail, ok, warn


def verdicts() -> list[Verdict]:
    """What there is to say of this machine."""
    device = choose_device("auto")
    return [_weights(), _device(device), *_backends(device), _cache(default_folder())]


def _weights() -> Verdict:
    try:
        card, path = find_weights(zoo.DEFAULT, None, None)
    except (RegSegError, OSError) as error:
        return fail("weights", f"{zoo.DEFAULT}: {error}")
    return ok("weights", f"{zoo.DEFAULT}: {len(card.labels)} classes, {path}")


def _device(device: torch.device) -> Verdict:
    precision, _ = choose_numbers("auto", device, "auto", zoo.find(zoo.DEFAULT))
    about = f"{device} ({device_title(device)}), {precision}"
    if why := unused_gpu():
        return warn("device", f"{about}; {why}")
    return ok("device", about)


def _backends(device: torch.device) -> list[Verdict]:
    usable, refused = candidates("auto", device)
    found = [warn("backend", f"{name} does not work here: {why}") for name, why in refused.items()]
    names = [backend.name for backend in usable]
    if names == [Eager.name]:
        return [*found, warn("backend", 'PyTorch alone: see README, "Make it fast"')]
    return [*found, ok("backend", f"{names[0]} is taken; then {', '.join(names[1:])}")]


def _cache(folder: Path) -> Verdict:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return warn(
            "cache",
            f"{folder} cannot be written, so that engines are compiled at each start: make it"
            " writable, or set XDG_CACHE_HOME",
        )
    engines = EngineCache(folder).entries()
    size = sum(path.stat().st_size for path in engines) / 1e6
    return ok("cache", f"{folder}: {len(engines)} engines, {size:.0f} MB")
