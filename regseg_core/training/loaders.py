"""Data sets -> batches."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from regseg_core.arrays import Image
from regseg_core.data.sampling import MixedSampler
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.data.transforms import RandomCrop, random_augment, random_flip
from regseg_core.training.config import TrainingConfig

Pairs = Dataset[tuple[Image, Image]]
Loader = DataLoader[tuple[Image, Image]]

#: Streets 1 to this are for training.
_STREETS = 5000


class Augmented(Dataset[tuple[Image, Image]]):
    """Another data set's pairs under the configured random crop, flip and augmentation."""

    def __init__(self, pairs: Pairs, config: TrainingConfig) -> None:
        self.pairs = pairs
        self.crop = RandomCrop(
            config.crop_height, config.crop_width, (config.short_side_min, config.short_side_max)
        )

    def __getitem__(self, index: int) -> tuple[Image, Image]:
        # torch's generator is the one that the loader seeds differently for each worker.
        rng = np.random.default_rng(torch.randint(2**31, (2,)).tolist())
        image, label = random_augment(*random_flip(*self.crop(*self.pairs[index], rng), rng), rng)
        return np.array(image), np.array(label)


def training_loader(pairs: Pairs, count: int, config: TrainingConfig, workers: int) -> Loader:
    """Shuffled batches of the `count` pairs and the configured share of synthetic streets."""
    streets = SyntheticStreets(_STREETS, config.crop_width, config.crop_height)
    return DataLoader(
        Augmented(ConcatDataset([pairs, streets]), config),
        batch_size=config.batch_size,
        sampler=MixedSampler(count, _STREETS, config.synthetic),
        num_workers=workers,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        drop_last=True,
    )


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)


def validation_loader(pairs: Pairs, workers: int) -> Loader:
    """One image a batch, since sizes may differ."""
    return DataLoader(pairs, batch_size=1, num_workers=workers)
