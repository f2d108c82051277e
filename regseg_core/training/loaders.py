"""Data sets -> batches."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from regseg_core.arrays import Image
from regseg_core.data.labelled import DataError, LabelledImages, Titled, refuse_unpaired
from regseg_core.data.layouts import open_images
from regseg_core.data.opening import open_split
from regseg_core.data.sampling import EpochSampler, Sample
from regseg_core.data.survey import Survey, cached_survey
from regseg_core.data.synthetic import STREET, SyntheticStreets
from regseg_core.data.transforms import RandomCrop, random_augment, random_flip, random_light
from regseg_core.errors import ArgumentError
from regseg_core.labels import CAMVID, LabelSet
from regseg_core.model import normalization_of
from regseg_core.training.config import STREETS, AugmentConfig, TrainingConfig

Example = tuple[Image, Image, str]

#: Streets that are scored beside the val split.
_SCORED_STREETS = 20


class WithTitles(Dataset[Example]):
    """(image, label, title) of labelled images."""

    def __init__(self, images: Titled) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        return *self.images[index], self.images.title(index)


class Augmented(Dataset[Example]):
    """Another data set's examples under the configured random crop, flip and augmentation."""

    def __init__(
        self, examples: Dataset[Example], config: AugmentConfig, fill: tuple[int, int, int]
    ) -> None:
        self.examples, self.config, self.fill = examples, config, fill
        short_side = (config.short_side_min, config.short_side_max)
        self.crop = RandomCrop(config.crop_height, config.crop_width, short_side, fill)

    def __getitem__(self, sample: Sample) -> Example:
        rng = np.random.default_rng(sample.seed)
        image, label, title = self.examples[sample.image]
        image, label = self.crop(image, label, rng, sample.centre)
        image, label = random_flip(image, label, rng)
        if self.config.light:
            image = random_light(image, rng, self.config.light)
        image, label = random_augment(
            image, label, rng, self.fill, self.config.operations, self.config.magnitude
        )
        return image, label, title


class SegmentationData(L.LightningDataModule):
    """The data of a run: `data` is a folder in any known layout, or `street`.

    Raises DataError for splits that do not exist or do not fit the configuration, and in
    `prepare_data`, where every label is looked at, for all files that are wrong.
    """

    def __init__(self, data: str, config: TrainingConfig, out: Path) -> None:
        super().__init__()
        # Lightning reports a sequence of hyperparameters of its own otherwise.
        self.config, self.out = config, out
        chosen = None if config.dataset.labels is None else LabelSet.load(config.dataset.labels)
        self.train_sets: list[LabelledImages] = []
        if data != STREET:
            self.train_sets = [
                open_images(Path(data), name, chosen) for name in config.dataset.train
            ]
        self.val_set = open_split(data, config.dataset.val, chosen, _SCORED_STREETS)
        self.labels = chosen or self.val_set.labels
        self.street = config.dataset.street or (0 if self.train_sets else 10 * config.batch_size)
        self.images = sum(map(len, self.train_sets))
        if self.street and self.labels.names != CAMVID.names:
            raise DataError("the synthetic street is labelled with the classes of camvid")
        if config.loss.class_weights and not self.train_sets:
            raise DataError("class weights come from label files, which the street has not")
        if self.images + self.street < config.batch_size:
            refuse_unpaired(*self.train_sets)  # with what is missing it may be filled
            raise DataError(
                f"{self.images} training images do not fill a batch of {config.batch_size};"
                " give a smaller --batch_size"
            )

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return (self.images + self.street) // self.config.batch_size

    def prepare_data(self) -> None:
        self.survey()

    def survey(self) -> Survey:
        """What the training labels hold; looked up once, then read from the run's folder."""
        if not isinstance(self.val_set, LabelledImages):
            return Survey(np.zeros(len(self.labels), np.int64), np.zeros((0, 4), np.int32))
        splits: dict[str, Sequence[LabelledImages]] = {
            "+".join(self.config.dataset.train): self.train_sets,
            self.config.dataset.val: [self.val_set],
        }
        dataset = self.config.dataset
        return cached_survey(splits, dataset.tile, dataset.workers, self.out / "survey.npz")[0]

    def _processes(self) -> tuple[int, int]:
        """How many train together, and which one of them this is."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def train_dataloader(self) -> DataLoader[Example]:
        """Batches of this process's share of each epoch."""
        config = self.config
        world, rank = self._processes()
        if config.batch_size % world:
            raise ArgumentError(
                f"batch_size {config.batch_size} is not a multiple of {world} processes"
            )
        streets = SyntheticStreets(STREETS, config.augment.crop_width, config.augment.crop_height)
        parts: list[Titled] = [*self.train_sets, streets]
        examples: Dataset[Example] = ConcatDataset([WithTitles(part) for part in parts])
        sampler = EpochSampler(
            self.images,
            config.batch_size,
            config.seed,
            pool=STREETS,
            extra=self.street,
            uniform=config.dataset.class_uniform,
            centroids=self.survey().centroids if config.dataset.class_uniform else None,
            rank=rank,
            world=world,
        )
        if self.trainer is not None:
            # Lightning does so before each epoch, but in a resumed run after loaders have begun.
            progress = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)  # type: ignore[attr-defined]
        return DataLoader(
            Augmented(examples, config.augment, normalization_of(config.model).fill),
            batch_size=config.batch_size // world,
            sampler=sampler,
            **_workers(config, config.batch_size // world),
        )

    def val_dataloader(self) -> list[DataLoader[Example]]:
        """One image a batch, since sizes may differ; each image in one process only."""
        sets: list[Titled] = [self.val_set]
        if self.street and isinstance(self.val_set, LabelledImages):
            sets.append(open_split(STREET, self.config.dataset.val, streets=_SCORED_STREETS))
        world, rank = self._processes()
        if (least := min(map(len, sets))) < world:
            raise DataError(
                f"{self.config.dataset.val} has {least} images for {world} processes, and each must"
                " score one; start fewer"
            )
        return [
            DataLoader(
                Subset(WithTitles(images), range(rank, len(images), world)),
                batch_size=1,
                num_workers=self.config.dataset.workers,
                worker_init_fn=_one_thread,
            )
            for images in sets
        ]


def _workers(config: TrainingConfig, batch: int) -> dict[str, Any]:
    count = config.dataset.workers
    augment = config.augment
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    crop = 4 * augment.crop_height * augment.crop_width
    need = 2 * count * processes * batch * crop  # each is two batches ahead
    shared = Path("/dev/shm")
    if shared.is_dir() and (free := shutil.disk_usage(shared).free) < need:
        raise OSError(
            f"{count} loader processes need {need >> 20} MiB of shared memory and /dev/shm"
            f" has {free >> 20} free: give --dataset.workers 0, or docker run --shm-size 1g"
        )
    return {
        "num_workers": count,
        "worker_init_fn": _one_thread,
        "persistent_workers": count > 0,
        "pin_memory": torch.cuda.is_available(),
    }


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)
