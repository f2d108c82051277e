"""What is compiled, and the key under which the engine is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from regseg_core.encodings import ENCODINGS
from regseg_core.errors import ArgumentError
from regseg_core.rotation import ROTATIONS

#: Of `SegmentationGraph`: raised when the same weights would give other labels.
GRAPH_VERSION = 4


@dataclass(frozen=True)
class GraphSpec:
    """Everything about a graph that its compiled form is fixed to.

    Raises ArgumentError for an unknown encoding or rotation, for sizes and batches below 1, and for
    a size that the encoding cannot have. Where an encoding has several names, `encoding` becomes
    the first, so that both have one engine.
    """

    encoding: str
    height: int
    width: int
    batch: int = 1
    #: Height and width that the network sees; None: the upright frame's own.
    size: tuple[int, int] | None = None
    confidence: bool = False
    #: Of the network: a name in `regseg_core.precision.PRECISIONS`.
    precision: str = "float32"
    #: How many degrees clockwise make a frame upright.
    rotation: int = 0

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ArgumentError(f"encoding {self.encoding!r}: give one of {', '.join(ENCODINGS)}")
        if self.rotation not in ROTATIONS:
            raise ArgumentError(f"rotation {self.rotation}: give {', '.join(map(str, ROTATIONS))}")
        if self.batch < 1:
            raise ArgumentError(f"a batch has at least 1 frame, not {self.batch}")
        for what, size in (("a frame", (self.height, self.width)), ("the network", self.size)):
            if size is not None and min(size) < 1:
                raise ArgumentError(f"{what} has at least 1 x 1 pixels, not {size[0]} x {size[1]}")
        encoding = ENCODINGS[self.encoding]
        if reason := encoding.refusal(self.height, self.width):
            raise ArgumentError(reason)
        object.__setattr__(self, "encoding", encoding.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the frames: how many, then the shape of one in its encoding."""
        return self.batch, *ENCODINGS[self.encoding].shape(self.height, self.width)

    def title(self) -> str:
        """For people."""
        batch = f"{self.batch} x " if self.batch > 1 else ""
        seen = f" seen at {self.size[0]} x {self.size[1]}" if self.size else ""
        confidence = ", with confidence" if self.confidence else ""
        turned = f" turned by {self.rotation} degrees" if self.rotation else ""
        frame = f"{self.height} x {self.width} {self.encoding}"
        return f"{batch}{frame}{turned}{seen}, {self.precision}{confidence}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; without `rotation` where there is none, as engines had it before."""
        data = {**asdict(self), "size": self.size and list(self.size)}
        if not self.rotation:
            del data["rotation"]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GraphSpec:
        """What `to_dict` gave. Raises TypeError for other entries, ArgumentError for bad values."""
        size = data.get("size")
        return cls(**{**data, "size": None if size is None else (int(size[0]), int(size[1]))})

    def identity(
        self, network: Mapping[str, object], made_by: Mapping[str, str]
    ) -> dict[str, object]:
        """All that must be equal for a compiled form to be used again.

        `network`: what it is, of which weights, with which ids; `made_by`: versions of libraries,
        and the device.
        """
        return {
            "graph_version": GRAPH_VERSION,
            "network": dict(network),
            "spec": self.to_dict(),
            "made_by": dict(sorted(made_by.items())),
        }


def key_of(identity: Mapping[str, object]) -> str:
    """sha256 of an identity, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
