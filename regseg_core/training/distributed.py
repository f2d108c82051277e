"""The few places where processes that train together must agree."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.layer_sync import LayerSync
from torch import Tensor, nn


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a value without gradient over all processes; the value itself in one."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def sum_over_processes(value: Tensor) -> Tensor:
    """The sum of a value over all processes."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


class _Sum(torch.autograd.Function):
    """A sum over processes that gradients go back through."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return sum_over_processes(value)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return sum_over_processes(gradients[0].contiguous())


class SyncedNorm(nn.BatchNorm2d):
    """Synchronised batch normalisation for CPUs, which PyTorch's own refuses."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        own = torch.cat([x.sum((0, 2, 3)), x.new_tensor([x.numel() / x.shape[1]])])
        total: Tensor = _Sum.apply(own)  # type: ignore[no-untyped-call]
        mean = total[:-1] / total[-1]
        # In a second pass: the difference of two large sums would lose digits.
        centred = x - mean[None, :, None, None]
        squares: Tensor = _Sum.apply(  # type: ignore[no-untyped-call]
            centred.square().sum((0, 2, 3))
        )
        variance = squares / total[-1]
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (total[-1] / (total[-1] - 1)), self.momentum)
        scaled = centred * (variance + self.eps).rsqrt()[None, :, None, None]
        scaled = scaled * self.weight[None, :, None, None] + self.bias[None, :, None, None]
        result: Tensor = scaled.to(input.dtype)
        return result


class SyncNormsOnCpu(LayerSync):
    """Lightning's hook that synchronises normalisation over processes, without a GPU."""

    def apply(self, model: nn.Module) -> nn.Module:
        for module in list(model.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    synced = SyncedNorm(child.num_features, child.eps, child.momentum)
                    synced.load_state_dict(child.state_dict())
                    setattr(module, name, synced.train(child.training))
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        return model
