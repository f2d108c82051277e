"""Which backends there are, and in which order they are tried."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from regseg_core.backends.base import Backend, BackendError, Portable
from regseg_core.backends.eager import Eager
from regseg_core.backends.inductor import Inductor
from regseg_core.backends.openvino import OpenVino
from regseg_core.backends.tensorrt import TensorRt
from regseg_core.calibration import Calibration, CalibrationError, read_calibration
from regseg_core.errors import ArgumentError
from regseg_core.model import SegmentationNetwork
from regseg_core.precision import choose_precision

_LOG = logging.getLogger("regseg_core")

_PORTABLE: dict[str, Portable] = {
    "tensorrt": TensorRt(),
    # The first takes either library; this one TensorRT for RTX alone.
    "tensorrt-rtx": TensorRt(["tensorrt_rtx"]),
    "openvino": OpenVino(),
}

BACKENDS: dict[str, Backend] = {
    **_PORTABLE,
    "inductor": Inductor(),
    "eager": Eager(),
}

#: Fastest first. On a CPU torch.compile was slower than PyTorch where confidence was asked for.
_ORDER = {"cuda": ("tensorrt", "inductor", "eager"), "cpu": ("openvino", "eager")}


def portable(name: str) -> Portable:
    """The backend of that name whose compiled graphs are bytes. Raises BackendError for others."""
    if name not in _PORTABLE:
        raise BackendError(f"backend {name!r} makes no file; give {' or '.join(_PORTABLE)}")
    return _PORTABLE[name]


def candidates(
    name: str | Sequence[Backend],
    device: torch.device,
    network: SegmentationNetwork | None = None,
) -> tuple[list[Backend], dict[str, str]]:
    """The backends to try in turn, and why others of the device's are refused.

    `name` is `auto`, one backend's, which is then the only one, or backends of your own. `network`
    is what PyTorch runs, if it is one of them. Raises ArgumentError for an unknown name,
    BackendError for one that cannot work on the device.
    """
    usable, refused = _named(name, device)
    if network is not None and usable[-1].name == Eager.name:
        usable[-1] = Eager(network)
    return usable, refused


def choose_numbers(
    precision: str,
    device: torch.device,
    backend: str | Sequence[Backend],
    weights: Path,
    compiled: bool = False,
) -> tuple[str, Calibration | None]:
    """What `precision` means for a file of weights, and their calibration for int8.

    `compiled`: whether an engine file is there, which holds what int8 needs. Raises ArgumentError
    for what cannot be had. With `auto`, a calibration that cannot be used is a warning.
    """
    calibration, no_int8 = None, ""
    if precision in ("auto", "int8") and device.type == "cpu":
        names = [backend] if isinstance(backend, str) else [each.name for each in backend]
        try:
            if not {"auto", OpenVino.name} & set(names):
                raise BackendError(f"OpenVINO computes in it, {names[0]} does not")
            BACKENDS[OpenVino.name].check(device)
            calibration = read_calibration(weights)
        except (BackendError, CalibrationError, FileNotFoundError) as error:
            no_int8 = str(error)
            if precision == "auto" and isinstance(error, CalibrationError):
                _LOG.warning("int8 is not used: %s", error)
    return choose_precision(precision, device, "" if compiled else no_int8), calibration


def _named(
    name: str | Sequence[Backend], device: torch.device
) -> tuple[list[Backend], dict[str, str]]:
    if not isinstance(name, str):
        for backend in name:
            backend.check(device)
        return list(name), {}
    if name != "auto":
        if name not in BACKENDS:
            raise ArgumentError(f"backend {name!r}: give auto, {', '.join(BACKENDS)}")
        BACKENDS[name].check(device)
        return [BACKENDS[name]], {}
    usable, refused = [], {}
    for candidate in _ORDER[device.type]:
        try:
            BACKENDS[candidate].check(device)
        except BackendError as error:
            refused[candidate] = str(error)
        else:
            usable.append(BACKENDS[candidate])
    return usable, refused
