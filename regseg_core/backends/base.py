"""What every backend offers: a graph and its sizes in, something to call with frames out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from regseg_core.backends.beside import Beside
from regseg_core.backends.spec import GraphSpec
from regseg_core.calibration import Calibration, sha256_of
from regseg_core.errors import RegSegError, WeightsError
from regseg_core.graph import SegmentationGraph
from regseg_core.model import SegmentationNetwork
from regseg_core.weights import ModelCard, build_model

#: Held while something is compiled or loaded in this process, or recorded as a CUDA graph: a
#: compiler waits for the whole GPU now and then, and that spoils the recording of another thread.
COMPILING = threading.Lock()

#: Frames on the device, uint8 of a spec's `shape` -> labels and, where asked for, confidence: N x
#: H x W uint8 each, on the device.
Compiled = Callable[[Tensor], tuple[Tensor, ...]]


@runtime_checkable
class Recordable(Protocol):
    """A compiled graph that knows whether it can be recorded as a CUDA graph."""

    def can_be_recorded(self) -> bool:
        """On the current stream."""


class BackendError(RegSegError, RuntimeError):
    """A backend that cannot work here, with the reason."""


class CompilingError(BackendError):
    """Nothing can segment frames of that kind yet: what shall do it is compiling or loading."""


@dataclass(frozen=True)
class Job:
    """One graph to be compiled: which weights, in which form, for which device."""

    card: ModelCard
    path: Path
    spec: GraphSpec
    device: torch.device
    #: Of the weights, for int8.
    calibration: Calibration | None = None
    #: Of the weights' file when it was loaded; None: as it is now.
    sha256: str | None = None

    @cached_property
    def network(self) -> dict[str, object]:
        """What the graph is made from beside its spec: files by sha256."""
        calibration = self.calibration
        measured = {} if calibration is None else {"calibration": calibration.sha256}
        return {
            "weights": self.sha256 or sha256_of(self.path),
            **measured,
            "architecture": self.card.architecture,
            "ids": list(self.card.labels.ids),
        }

    def identity(self, backend: Portable) -> dict[str, object]:
        """What its engine is kept under: all that must be equal to use it again."""
        return self.spec.identity(self.network, backend.made_by(self.device))

    def graph(
        self, dtype: torch.dtype, wide: bool = False, banded: bool = False
    ) -> SegmentationGraph:
        """The graph with a network of its own, of that dtype, on the CPU.

        Raises WeightsError where the file is not the one that was loaded.
        """
        if self.sha256 is not None and self.sha256 != sha256_of(self.path):
            raise WeightsError(f"{self.path} has changed since it was loaded: load it again")
        network = build_model(self.card, self.path)
        network.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self.graph_of(network, wide, banded)

    def graph_of(
        self, network: SegmentationNetwork, wide: bool = False, banded: bool = False
    ) -> SegmentationGraph:
        """The graph with that network."""
        spec = self.spec
        return SegmentationGraph(
            network,
            self.card.labels.ids,
            spec.encoding,
            spec.size,
            spec.confidence,
            wide,
            spec.rotation,
            banded,
        ).eval()


def refuse_int8(backend: Backend, job: Job) -> None:
    """Raises BackendError for a job in int8, where the backend is not the one that knows it."""
    if job.spec.precision == "int8" and backend.name != "openvino":
        raise BackendError(f"{backend.name} does not compute in int8; OpenVINO on a CPU does")


@dataclass(frozen=True)
class Building:
    """How a graph is compiled.

    `gpus`: targets other than the device, such as `sm_89`. `thorough`: whether the result counts
    more than minutes, as when it is compiled ahead. `folder`: where to keep what the next
    compilation can use; None keeps nothing.
    """

    gpus: tuple[str, ...] = ()
    thorough: bool = False
    folder: Path | None = None


class Backend(Protocol):
    """One way of running the graph."""

    name: str

    def check(self, device: torch.device) -> None:
        """Raises BackendError where it cannot work on that device, without building anything."""


@runtime_checkable
class Direct(Backend, Protocol):
    """A backend whose compiled graph lives in this process alone."""

    def build(self, job: Job) -> Compiled:
        """Compiles. Raises BackendError, or whatever its library raises."""


@runtime_checkable
class Portable(Backend, Protocol):
    """A backend whose compiled graph is bytes, which can be kept and copied."""

    def made_by(self, device: torch.device) -> dict[str, str]:
        """What a payload is bound to, beside the graph: versions of libraries, and the device."""

    def payload(self, job: Job, how: Building) -> bytes:
        """Compiles, in this process."""

    def load(self, payload: bytes, job: Job, beside: Beside | None = None) -> Compiled:
        """Makes a payload ready to run. `beside`: for what it learns while it runs.

        Raises BackendError for one that will never run here.
        """
