"""What is optimised and how: network, loss, schedule and scores, as Lightning wants them."""

from __future__ import annotations

from collections.abc import Sequence

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from regseg_core.data.labelled import DataError
from regseg_core.errors import ArgumentError, RegSegError
from regseg_core.evaluation.metrics import ConfusionMatrix
from regseg_core.graph import Normalize
from regseg_core.labels import LabelSet
from regseg_core.model import create_model
from regseg_core.training.config import TrainingConfig, lr_factor
from regseg_core.training.distributed import mean_over_processes, sum_over_processes
from regseg_core.training.losses import PixelLoss, class_weights, weighted_loss

#: N x H x W x 3 uint8 RGB, N x H x W uint8 class indices, and what each image is called.
Batch = tuple[Tensor, Tensor, Sequence[str]]

#: The validation sets in the order of the loaders: the log's name of each one's mean IoU.
VALIDATION = ("val_miou", "street_miou")


class DivergedError(RegSegError, ValueError):
    """A loss that is no number, with the images that it came from."""


def ema_step(decay: float, average: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
    """Moves an exponential moving average one step on, in place; counters are copied.

    It keeps less of the past in the first steps: freshly initialised weights and normalisation
    statistics would stay in it for hundreds of steps, and short runs would end with them.
    """
    keep = min(decay, (1 + float(steps)) / (10 + float(steps)))
    if average[0].is_floating_point():
        torch._foreach_lerp_(average, current, 1 - keep)
    else:
        torch._foreach_copy_(average, current)


class SegmentationTask(L.LightningModule):
    """Trains a network on batches of labelled images, for `steps` steps in all.

    Raises ArgumentError for a network that is not known, or crops too small for it.
    """

    def __init__(self, config: TrainingConfig, labels: LabelSet, steps: int) -> None:
        super().__init__()
        # In the checkpoint, for who resumes it.
        self.save_hyperparameters({"model": config.model, "classes": list(labels.names)})
        self.config, self.steps = config, steps
        self.network = create_model(config.model, len(labels)).to(
            memory_format=torch.channels_last  # type: ignore[call-overload]
        )
        least, crop = self.network.min_size, config.augment
        if min(crop.crop_height, crop.crop_width) < least:
            raise ArgumentError(
                f"augment.crop_height {crop.crop_height} and crop_width {crop.crop_width} must be"
                f" at least {least}: {config.model} sees nothing smaller"
            )
        self.normalize = Normalize(self.network.normalization)
        self.loss = PixelLoss(config.loss)
        self.matrices: list[ConfusionMatrix] = []
        self._last_loss: _Watched | None = None

    def weigh_classes(self, pixels: npt.NDArray[np.int64]) -> None:
        """Sets the class weights for that many labelled pixels of each class."""
        self.loss.weights = class_weights(pixels, self.config.loss.class_weights)

    def setup(self, stage: str) -> None:
        """Called by Lightning after the survey of the data."""
        if self.config.loss.class_weights:
            self.weigh_classes(self.trainer.datamodule.survey().pixels)  # type: ignore[attr-defined]

    def training_step(self, batch: Batch, _: int) -> Tensor:
        self._stop_if_diverged()
        images, truth, titles = batch
        try:
            terms = self.network.forward_training(self.normalize(images.permute(0, 3, 1, 2)))
        except ValueError as error:
            if len(images) > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise ArgumentError(
                f"{self.config.model} cannot train on one image at a time: it normalises the mean"
                " of an image over the batch; give --batch_size 2 or more for each process"
            ) from error
        loss = torch.stack([weighted_loss(term, truth, self.loss) for term in terms]).sum()
        self._last_loss = _Watched(loss, titles)
        shown = mean_over_processes(loss.detach())
        self.log("loss", shown, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(images))
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        self.log("lr", rate, prog_bar=True)

    def on_train_epoch_end(self) -> None:
        self._stop_if_diverged()

    def _stop_if_diverged(self) -> None:
        """Looks one step late, so that the device need not be waited for."""
        watched, self._last_loss = self._last_loss, None
        if watched is not None and not watched.is_finite():
            raise DivergedError(
                f"the loss of step {self.global_step} is no number; its images:"
                f" {', '.join(watched.titles)}. What was saved before stays good; look at these"
                " images, --resume with --optimizer.clip_norm 1, or begin again with a smaller"
                " --optimizer.lr"
            )

    def on_validation_epoch_start(self) -> None:
        self.matrices = [ConfusionMatrix(self.network.num_classes) for _ in VALIDATION]

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        images, truth, titles = batch
        height, width = images.shape[1:3]
        if min(height, width) < self.network.min_size:
            raise DataError(
                f"{titles[0]} is {width} x {height} pixels; {self.config.model} needs"
                f" {self.network.min_size} each way"
            )
        logits = self.network(self.normalize(images.permute(0, 3, 1, 2)))
        self.matrices[dataloader_idx].update(logits.argmax(1), truth)

    def on_validation_epoch_end(self) -> None:
        for name, matrix in zip(VALIDATION, self.matrices, strict=True):
            # Collectives of CUDA need the device; those of Gloo take it as well.
            matrix.counts = sum_over_processes(matrix.counts.to(self.device)).cpu()
            if matrix.counts.any():  # the second set is optional
                self.log(name, 100 * matrix.mean_iou(), prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        config = self.config.optimizer
        norms = [
            m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]
        undecayed = [p for norm in norms for p in norm.parameters()]
        ids = {id(p) for p in undecayed}
        decayed = [p for p in self.network.parameters() if id(p) not in ids]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": undecayed, "weight_decay": 0.0},
        ]
        optimizer: torch.optim.Optimizer
        if config.kind == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=config.lr)
        else:
            optimizer = torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
        # Not the trainer's estimate: it opens the loaders before a resumed run knows its epoch.
        total = self.steps
        # A short run would end before its warm-up does.
        warmup = min(config.warmup, total // 4)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: lr_factor(min(step, total), total, warmup)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


class _Watched:
    """A step's loss on its way to the host, and what it came from."""

    def __init__(self, loss: Tensor, titles: Sequence[str]) -> None:
        self.titles = titles
        if loss.is_cuda:
            self._value = torch.empty((), dtype=loss.dtype, pin_memory=True)
            self._value.copy_(loss.detach(), non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()
        else:
            self._value = loss.detach()

    def is_finite(self) -> bool:
        if self._value.is_pinned():
            self._arrived.synchronize()
        return bool(torch.isfinite(self._value))
