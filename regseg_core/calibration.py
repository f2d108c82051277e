"""What int8 needs to know beside the weights: the range of each activation, in a file of JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from regseg_core.errors import RegSegError
from regseg_core.files import write_bytes

#: Of the file beside a file of weights, in place of its own.
SUFFIX = ".int8.json"

#: Of the file: raised when an older reader would take a newer one wrongly.
_FORMAT = 1

#: Bytes. That of a network of a hundred layers has 12,000.
_LARGEST = 4_000_000


class CalibrationError(RegSegError, ValueError):
    """A calibration that cannot be used, with the reason."""


@dataclass(frozen=True)
class Calibration:
    """Ranges that were measured on images, of one file of weights.

    `weights`: sha256 of that file. `ranges`: least and greatest value of each activation that is
    rounded to 8 bits, by the names of `backends.rounding`. `floats`: layers that int8 hurts, which
    stay in floating point with what they give. `about`: free entries for people.
    """

    weights: str
    ranges: Mapping[str, tuple[float, float]]
    floats: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """Of what engines are made by; what is for people is left out."""
        made_by = {"ranges": dict(self.ranges), "floats": list(self.floats)}
        return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=0)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Raises CalibrationError for text that is no calibration, or of a newer format."""
        try:
            data = json.loads(text)
            if data["format"] != _FORMAT:
                raise CalibrationError(f"a calibration of format {data['format']}, not {_FORMAT}")
            ranges = {str(name): _range(*ends) for name, ends in data["ranges"].items()}
            if not isinstance(data["weights"], str) or not isinstance(data["about"], dict):
                raise TypeError
            floats = tuple(map(str, data["floats"]))
            return cls(data["weights"], ranges, floats, data["about"])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, CalibrationError):
                raise
            raise CalibrationError("no calibration, or a damaged one") from error


def _range(low: float, high: float) -> tuple[float, float]:
    low, high = float(low), float(high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError
    return low, high


def path_beside(weights: Path) -> Path:
    """Where the calibration of a file of weights is kept."""
    return weights.with_suffix(SUFFIX)


def read_calibration(weights: Path) -> Calibration:
    """That of a file of weights, from beside it.

    Raises FileNotFoundError, and CalibrationError for one that cannot be read, is damaged or is of
    other weights.
    """
    path = path_beside(weights)
    again = "calibrate again, or delete it"
    try:
        with path.open("rb") as file:
            calibration = Calibration.from_json(file.read(_LARGEST).decode())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no {path}, which `python -m regseg_core.compile --calibrate` makes"
        ) from error
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CalibrationError(f"{path} is no calibration, or a damaged one: {again}") from error
    except CalibrationError as error:
        raise CalibrationError(f"{path} is {error}: {again}") from error
    if calibration.weights != sha256_of(weights):
        raise CalibrationError(f"{path} is of other weights than {weights.name}: {again}")
    return calibration


def write_calibration(weights: Path, calibration: Calibration) -> Path:
    """Writes it beside the weights, and returns where. Raises FileError."""
    path = path_beside(weights)
    write_bytes(path, (calibration.to_json() + "\n").encode())
    return path


def sha256_of(path: Path) -> str:
    """Of a file's contents."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
