"""Ways of running the network that are compared, the most telling first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from regseg_core.backends.base import Compiled, Job
from regseg_core.backends.choose import BACKENDS
from regseg_core.backends.eager import Eager
from regseg_core.backends.staging import Staged
from regseg_core.backends.store import EngineStore
from regseg_core.graph import Normalize
from regseg_core.model import SegmentationNetwork, create_model
from regseg_core.precision import float_type
from regseg_core.weights import load_weights

#: What published code does: the network in float32, images as N x C x H x W. On a GPU PyTorch's
#: convolutions then compute in TF32.
BASELINE = "published-style float32"
AUTOCAST = "published-style autocast"


@dataclass(frozen=True)
class Variant:
    """`staged`: whether it is recorded and its copies are pinned, as ours are."""

    name: str
    make: Callable[[Job], Compiled]
    staged: bool = True
    devices: tuple[str, ...] = ("cuda", "cpu")


def _published(job: Job) -> SegmentationNetwork:
    """As it was trained: its normalisation layers are still there."""
    network = create_model(job.card.architecture, len(job.card.labels))
    load_weights(network, job.path)
    return network.eval().to(job.device)


def _plain(job: Job, autocast: torch.dtype | None) -> Compiled:
    network = _published(job)
    normalize = Normalize(network.normalization).to(job.device)
    enabled = autocast is not None

    def compiled(frames: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode(), torch.autocast(frames.device.type, autocast, enabled=enabled):
            images = normalize(frames.flip(3).permute(0, 3, 1, 2)).contiguous()
            return (network(images).argmax(1).to(torch.uint8),)

    return compiled


def _autocast(job: Job) -> Compiled:
    return _plain(job, float_type(job.spec.precision))


def _backend(name: str) -> Callable[[Job], Compiled]:
    def make(job: Job) -> Compiled:
        backend = BACKENDS[name]
        backend.check(job.device)
        return EngineStore().open(backend, job)

    return make


def _untimed(job: Job) -> Compiled:
    compiled = Eager().build(job)
    torch.backends.cudnn.benchmark = False
    return compiled


def _unfolded(job: Job) -> Compiled:
    dtype = float_type(job.spec.precision)
    network: Any = _published(job).to(dtype)
    return Eager(network.to(memory_format=torch.channels_last)).build(job)


class _Nchw(nn.Module):
    """A network that computes in N x C x H x W."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network
        self.normalization, self.min_size = network.normalization, network.min_size
        self.dtype = network.dtype

    def forward_low(self, images: Tensor) -> Tensor:
        return self.network.forward_low(images.contiguous())


def _nchw(job: Job) -> Compiled:
    network = job.graph(float_type(job.spec.precision)).network
    made: Any = _Nchw(network.to(job.device).to(memory_format=torch.contiguous_format))  # type: ignore[call-overload]
    return Eager(made).build(job)


def _tuned(job: Job) -> Compiled:
    """torch.compile that tries all its kernels, also for 1 x 1 convolutions as matrix products."""
    from torch._inductor import config

    with config.patch(max_autotune=True, conv_1x1_as_mm=True, coordinate_descent_tuning=True):
        return _backend("inductor")(job)


VARIANTS = (
    Variant(BASELINE, lambda job: _plain(job, None), staged=False),
    Variant(AUTOCAST, _autocast, staged=False),
    Variant("eager", _backend("eager")),
    Variant("inductor", _backend("inductor")),
    Variant("tensorrt", _backend("tensorrt"), devices=("cuda",)),
    Variant("openvino", _backend("openvino"), devices=("cpu",)),
    Variant("eager, N x C x H x W", _nchw),
    Variant("eager, kernels not timed", _untimed, devices=("cuda",)),
    Variant("eager, normalisation not folded", _unfolded),
    Variant("inductor, all kernels tried", _tuned, devices=("cuda",)),
)


def variants(device: torch.device) -> tuple[Variant, ...]:
    """Those that can be tried on a device."""
    return tuple(variant for variant in VARIANTS if device.type in variant.devices)


def works(
    compiled: Compiled, frames: Tensor, device: torch.device, staged: bool
) -> tuple[Callable[[], object], Callable[[], object], bool]:
    """The graph on frames that are on the device, and from and to the host; whether recorded.

    `staged`: as Variant says.
    """
    there = frames.to(device)
    if device.type == "cuda" and staged:
        run = Staged(compiled, tuple(frames.shape), device)
        # On the default stream TensorRT waits for the GPU at each call.
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
        return run.replay, lambda: run(frames), run.is_recorded
    # As published code does it: from ordinary memory, and back.
    return lambda: compiled(there), lambda: compiled(frames.to(device))[0].cpu(), False
