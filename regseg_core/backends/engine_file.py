"""The file of an engine, which is a graph that a backend compiled: data, not code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regseg_core.backends.spec import GraphSpec
from regseg_core.errors import RegSegError

_MAGIC = b"regseg engine 1\n"

#: What has made a graph's compiled form, but is not needed to run it: libraries, and a calibration.
_MAKERS, _MEASURED = ("torch", "torch_tensorrt"), ("calibration",)


class EngineError(RegSegError, ValueError):
    """A file of a compiled graph that cannot be used here, with the reason."""


def pack(identity: Mapping[str, object], payload: bytes) -> bytes:
    """The bytes of an engine file: a line of JSON, then the payload."""
    header = {"identity": identity, "sha256": hashlib.sha256(payload).hexdigest()}
    return _MAGIC + json.dumps(header).encode() + b"\n" + payload


def unpack(data: bytes) -> bytes:
    """The payload of what `pack` gave."""
    return data[len(_MAGIC) :].partition(b"\n")[2]


def read_identity(path: Path) -> dict[str, Any]:
    """What an engine file was made of.

    Raises FileNotFoundError, and EngineError for another or a damaged file.
    """
    with path.open("rb") as file:
        identity: dict[str, Any] = _read_header(path, file.read(1 << 16))["identity"]
    return identity


def spec_of(identity: Mapping[str, Any]) -> GraphSpec:
    """What an engine file's frames and graph are."""
    return GraphSpec.from_dict(identity["spec"])


def settled(
    spec: GraphSpec, size: tuple[int, int] | None, precision: str
) -> tuple[tuple[int, int] | None, str]:
    """The network's size and precision with an engine file. Raises EngineError for others."""
    if size not in (None, spec.size):
        raise EngineError(f"the engine file is for {spec.title()}, and size is set to {size}")
    if precision not in ("auto", spec.precision):
        raise EngineError(f"the engine file is for {spec.title()}, and precision is {precision}")
    return spec.size, spec.precision


def read_payload(path: Path, identity: Mapping[str, object], carried: bool = False) -> bytes:
    """The payload of an engine file whose identity is equal.

    One that was `carried` here from another machine may have been made by another PyTorch.
    Raises EngineError for one that is damaged or made of anything else, and says what differs.
    """
    data = path.read_bytes()
    header = _read_header(path, data)
    theirs, ours = (_plain(entry, carried) for entry in (header["identity"], identity))
    if theirs != ours:
        differ = _differences(theirs, ours)
        raise EngineError(f"{path} was compiled for something else: {differ}")
    payload = unpack(data)
    if hashlib.sha256(payload).hexdigest() != header["sha256"]:
        raise EngineError(f"{path} is damaged: its contents do not match its checksum")
    return payload


def _read_header(path: Path, data: bytes) -> dict[str, Any]:
    first, _, _ = data[len(_MAGIC) :].partition(b"\n")
    try:
        if not data.startswith(_MAGIC):
            raise ValueError
        header = json.loads(first)
        identity = header["identity"]
        spec_of(identity)
        if not isinstance(identity["made_by"]["backend"], str):
            raise TypeError
        if not isinstance(header["sha256"], str):
            raise TypeError
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineError(f"{path} is not a compiled graph, or a damaged one") from error
    return header  # type: ignore[no-any-return]


def _plain(identity: Mapping[str, Any], carried: bool) -> dict[str, Any]:
    plain = dict(identity)
    for entry, left_out in (("made_by", _MAKERS), ("network", _MEASURED)) if carried else ():
        given = identity.get(entry, {})
        plain[entry] = {name: value for name, value in given.items() if name not in left_out}
    return plain


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    found = []
    for name in sorted({*theirs, *ours}):
        old, new = theirs.get(name), ours.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            if old != new:
                found.append(_differences(old, new))
        elif old != new:
            found.append(f"{name} {old!r}, here {new!r}")
    return "; ".join(found)
