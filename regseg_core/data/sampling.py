"""Which images are looked at, and which places in them an epoch is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


def spread(count: int, most: int) -> list[int]:
    """At most so many of the places 0 to `count`, equally far apart."""
    kept = min(count, most)
    return [place * count // kept for place in range(kept)]


class Sample(NamedTuple):
    """One training example to come: an image, where the crop is centred, and all its randomness."""

    image: int
    #: Row and column, or None for anywhere.
    centre: tuple[int, int] | None
    seed: tuple[int, int, int]


class EpochSampler(Sampler[Sample]):
    """The samples of one epoch, the same for the same seed and epoch on any number of processes.

    An epoch has as many samples as there are images, and `extra` of the `pool` of further ones
    whose indices follow. A share `uniform` of the images' samples is class-uniform: every class
    that occurs is sampled equally often, at one of its `centroids` (M x 4: image, class, row,
    column); the others are different images at random places (paper, section 4.1).

    The epoch is cut into batches of `batch`; process `rank` of `world` takes its part of each, and
    samples that fill no batch are left out.
    """

    def __init__(
        self,
        images: int,
        batch: int,
        seed: int,
        *,
        pool: int = 0,
        extra: int = 0,
        uniform: float = 0.0,
        centroids: npt.NDArray[np.int32] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.images, self.batch, self.seed = images, batch, seed
        self.pool, self.extra = pool, extra
        self.rank, self.world = rank, world
        self.epoch = 0
        self.steps = (images + extra) // batch
        by_class: Sequence[npt.NDArray[np.int32]] = ()
        if uniform and centroids is not None:
            by_class = [centroids[centroids[:, 1] == c] for c in np.unique(centroids[:, 1])]
        self._by_class = by_class
        self._uniform = round(uniform * images) if by_class else 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps * self.batch // self.world

    def samples(self) -> list[Sample]:
        """The whole epoch, of all processes."""
        rng = np.random.default_rng([self.seed, self.epoch])
        chosen: list[tuple[int, tuple[int, int] | None]] = [
            (int(index), None) for index in rng.permutation(self.images)[self._uniform :]
        ]
        for index in range(self._uniform):
            places = self._by_class[index % len(self._by_class)]
            image, _, row, column = (int(value) for value in places[rng.integers(len(places))])
            chosen.append((image, (row, column)))
        further = rng.permutation(self.pool)[: self.extra]
        chosen.extend((self.images + int(index), None) for index in further)
        epoch = []
        for index, pick in enumerate(rng.permutation(len(chosen))):
            image, centre = chosen[pick]
            epoch.append(Sample(image, centre, (self.seed, self.epoch, index)))
        return epoch

    def __iter__(self) -> Iterator[Sample]:
        samples = self.samples()
        share = self.batch // self.world
        for step in range(self.steps):
            first = step * self.batch + self.rank * share
            yield from samples[first : first + share]
