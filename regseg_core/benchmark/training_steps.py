"""How long a step of training takes, without a trainer around it."""

from __future__ import annotations

import statistics
import time

import torch

from regseg_core.device import choose_device
from regseg_core.labels import LabelSet
from regseg_core.precision import PRECISIONS, choose_precision
from regseg_core.training.config import TrainingConfig
from regseg_core.training.task import SegmentationTask


def step_seconds(config: TrainingConfig, labels: LabelSet, steps: int = 3) -> float:
    """Median seconds of forward, backward and update on a batch of random crops."""
    device = choose_device("auto")
    task = SegmentationTask(config, labels, steps).to(device)
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    optimizer = torch.optim.SGD(task.parameters(), lr=0.01, momentum=0.9)
    rng = torch.Generator().manual_seed(0)
    shape = (config.batch_size, config.augment.crop_height, config.augment.crop_width)
    images = torch.randint(0, 256, (*shape, 3), generator=rng, dtype=torch.uint8).to(device)
    truth = torch.randint(0, len(labels), shape, generator=rng, dtype=torch.uint8).to(device)
    dtype = PRECISIONS[choose_precision(config.precision, device)]
    mixed = dtype != torch.float32

    def step() -> float:
        started = time.perf_counter()
        with torch.autocast(device.type, dtype if mixed else None, enabled=mixed):
            loss = task.training_step((images, truth, ["random"]), 0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()
        return time.perf_counter() - started

    step()
    return statistics.median(step() for _ in range(steps))
