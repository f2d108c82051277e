"""The least time a network can take: bytes over bandwidth, multiply-adds over rate."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regseg_core.benchmark.timing import device_times
from regseg_core.model import SegmentationNetwork

_BYTES = 2  # of a half-precision number


@dataclass(frozen=True)
class Device:
    """What a device was measured to do."""

    #: Bytes read and written per second by a large copy.
    bandwidth: float
    #: Multiply-adds per second of a large half-precision matrix product.
    rate: float


@dataclass(frozen=True)
class Cost:
    """What one convolution moves and computes."""

    bytes: float
    multiply_adds: float


def measure_device(device: torch.device, seconds: float = 0.5) -> Device:
    """Copies 512 MiB and multiplies 8192 x 8192 matrices (a CPU: less), by the device's clock."""
    large = device.type == "cuda"
    source = torch.empty((512 if large else 64) << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    side = 8192 if large else 1024
    half = torch.float16 if large else torch.bfloat16
    a = torch.randn(side, side, device=device).to(half)
    copy, _ = device_times(lambda: target.copy_(source), device, seconds)
    product, _ = device_times(lambda: a @ a, device, seconds)
    return Device(1e3 * 2 * source.numel() / copy, 1e3 * side**3 / product)


def costs(network: SegmentationNetwork, batch: int, height: int, width: int) -> list[Cost]:
    """Cost of each convolution, its normalisation and activation counted as part of it.

    Shapes alone are computed, on PyTorch's meta device.
    """
    found: list[Cost] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        moved = inputs[0].numel() + output.numel() + module.weight.numel()
        products = output.numel() * module.weight[0].numel()
        found.append(Cost(_BYTES * moved, products))

    network = copy.deepcopy(network).to("meta")
    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network.forward_low(torch.empty(batch, 3, height, width, device="meta"))
    for hook in hooks:
        hook.remove()
    return found


def roof(parts: list[Cost], frame_bytes: float, device: Device) -> float:
    """Least seconds of a graph: each convolution's, and its frames and labels moved once."""
    convolutions = sum(
        max(part.bytes / device.bandwidth, part.multiply_adds / device.rate) for part in parts
    )
    return convolutions + frame_bytes / device.bandwidth
