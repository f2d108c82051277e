"""Which images an epoch is made of."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class MixedSampler(Sampler[int]):
    """Every one of the first `whole` indices, and `extra` of the `pool` that follows, shuffled."""

    def __init__(self, whole: int, pool: int, extra: int) -> None:
        self.whole, self.pool, self.extra = whole, pool, extra

    def __len__(self) -> int:
        return self.whole + self.extra

    def __iter__(self) -> Iterator[int]:
        drawn = self.whole + torch.randperm(self.pool)[: self.extra]
        indices = torch.cat([torch.arange(self.whole), drawn])
        return iter(indices[torch.randperm(len(indices))].tolist())
