"""What is compiled, and by which names its result is found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from regseg_core.encodings import ENCODINGS

#: Of `SegmentationGraph`: raised when the same weights would give other labels.
GRAPH_VERSION = 2


@dataclass(frozen=True)
class GraphSpec:
    """Everything about a graph that its compiled form is fixed to."""

    encoding: str
    height: int
    width: int
    batch: int = 1
    #: Height and width that the network sees; None: the frame's own.
    size: tuple[int, int] | None = None
    confidence: bool = False
    #: Of the network: a name in `regseg_core.graph.PRECISIONS`.
    precision: str = "float32"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the frames: N x H x W x C."""
        return self.batch, self.height, self.width, ENCODINGS[self.encoding].channels

    def title(self) -> str:
        """What a person calls it."""
        batch = f"{self.batch} x " if self.batch > 1 else ""
        seen = f" seen at {self.size[0]} x {self.size[1]}" if self.size else ""
        return f"{batch}{self.height} x {self.width} {self.encoding}{seen}, {self.precision}"

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
            "spec": json.loads(json.dumps(asdict(self))),
            "made_by": dict(sorted(made_by.items())),
        }


def key_of(identity: Mapping[str, object]) -> str:
    """sha256 of an identity, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
