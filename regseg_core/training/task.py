"""What is optimised and how: network, loss, schedule and scores, as Lightning wants them."""

from __future__ import annotations

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.graph import Normalize
from regseg_core.labels import IGNORE_INDEX, LabelSet
from regseg_core.model import create_model
from regseg_core.training.config import TrainingConfig, lr_factor
from regseg_core.training.metrics import ConfusionMatrix

Batch = tuple[Tensor, Tensor]

#: The validation sets in the order of the loaders: the log's name of each one's mean IoU.
VALIDATION = ("val_miou", "street_miou")


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
    """Trains a network on (N x H x W x 3 uint8 RGB, N x H x W uint8 class indices) batches."""

    def __init__(self, config: TrainingConfig, labels: LabelSet) -> None:
        super().__init__()
        # In the checkpoint, for who resumes it.
        self.save_hyperparameters({"model": config.model, "classes": list(labels.names)})
        self.config = config
        self.normalize = Normalize()
        self.network = create_model(config.model, len(labels)).to(
            memory_format=torch.channels_last  # type: ignore[call-overload]
        )
        self.matrices: list[ConfusionMatrix] = []

    def training_step(self, batch: Batch, _: int) -> Tensor:
        images, truth = batch
        logits = self.network(self.normalize(images.permute(0, 3, 1, 2)))
        summed = F.cross_entropy(
            logits.float(), truth.long(), ignore_index=IGNORE_INDEX, reduction="sum"
        )
        # Not `reduction="mean"`: where all pixels are ignored that is NaN.
        loss = summed / (truth != IGNORE_INDEX).sum().clamp(min=1)
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.matrices = [ConfusionMatrix(self.network.num_classes) for _ in VALIDATION]

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        images, truth = batch
        logits = self.network(self.normalize(images.permute(0, 3, 1, 2)))
        self.matrices[dataloader_idx].update(logits.argmax(1), truth)

    def on_validation_epoch_end(self) -> None:
        for name, matrix in zip(VALIDATION, self.matrices, strict=True):
            if matrix.counts.any():  # the second set is optional
                self.log(name, 100 * matrix.mean_iou(), prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        config = self.config
        norms = [
            m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]
        undecayed = [p for norm in norms for p in norm.parameters()]
        ids = {id(p) for p in undecayed}
        decayed = [p for p in self.network.parameters() if id(p) not in ids]
        optimizer = torch.optim.SGD(
            [
                {"params": decayed, "weight_decay": config.weight_decay},
                {"params": undecayed, "weight_decay": 0.0},
            ],
            lr=config.lr,
            momentum=config.momentum,
        )
        total = int(self.trainer.estimated_stepping_batches)
        # A short run would end before its warm-up does.
        warmup = min(config.warmup_iterations, total // 4)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: lr_factor(min(step, total), total, warmup)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
