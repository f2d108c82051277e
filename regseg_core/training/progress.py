"""The progress bar of a training run."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar


class TrainingBar(TQDMProgressBar):
    """Lightning's bar with images per second and the time left of the whole run."""

    def __init__(self, images_per_step: int) -> None:
        super().__init__(refresh_rate=5)
        self._images_per_step = images_per_step
        self._started, self._first_step = 0.0, 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._started, self._first_step = time.monotonic(), trainer.global_step

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Ends the bar's line, so that the error gets its own."""
        self.disable()
        if self._train_progress_bar is not None:
            self._train_progress_bar.close()

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        items: dict[str, Any] = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        items.pop("loss_epoch", None)
        items = {"loss" if name == "loss_step" else name: item for name, item in items.items()}
        if "lr" in items:
            items["lr"] = f"{items['lr']:.1e}"
        steps = trainer.global_step - self._first_step
        seconds = time.monotonic() - self._started
        if steps and seconds:
            left = (trainer.estimated_stepping_batches - trainer.global_step) * seconds / steps
            items["images/s"] = round(steps * self._images_per_step / seconds, 1)
            items["left"] = str(timedelta(seconds=round(left)))
        return items
