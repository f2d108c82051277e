"""The few places where processes that train together must agree."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.layer_sync import LayerSync
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a value without gradient over all processes; the value itself in one."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def sum_over_processes(counts: Tensor) -> Tensor:
    """The sum of integer counts over all processes."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return counts
    total = counts.clone()
    dist.all_reduce(total)
    return total


class SyncedNorm(nn.SyncBatchNorm):
    """PyTorch's synchronised batch normalisation, also on CPUs, which PyTorch's refuses."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or not self.training or dist.get_world_size() == 1:
            return super().forward(input)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        x = input.float()
        own = torch.cat([x.sum((0, 2, 3)), x.new_tensor([x.numel() / x.shape[1]])])
        total = all_reduce(own)
        mean = total[:-1] / total[-1]
        # In a second pass: the difference of two large sums would lose digits.
        centred = x - mean[None, :, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / total[-1]
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            unbiased = variance * (total[-1] / (total[-1] - 1))
            self.running_var.lerp_(unbiased, self.momentum)
        scaled = centred * (variance + self.eps).rsqrt()[None, :, None, None]
        if self.affine:
            scaled = scaled * self.weight[None, :, None, None] + self.bias[None, :, None, None]
        return scaled.to(input.dtype)


class SyncNorms(LayerSync):
    """Lightning's hook that synchronises normalisation over processes."""

    def apply(self, model: nn.Module) -> nn.Module:
        for module in model.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, _synced(child))
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        return model


def _synced(norm: nn.BatchNorm2d) -> SyncedNorm:
    synced = SyncedNorm(norm.num_features, norm.eps, norm.momentum, norm.affine)
    state: dict[str, Any] = norm.state_dict()
    synced.load_state_dict(state)
    return synced.train(norm.training)
