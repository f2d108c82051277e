"""Two processes train as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import layouts
import numpy as np
import pytest
import torch
import torch.distributed as dist
from runs import losses
from torch import nn
from torch.multiprocessing.spawn import spawn

from regseg_core import zoo
from regseg_core.data.labelled import DataError
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.labels import CAMVID
from regseg_core.training.config import LossConfig, TrainingConfig
from regseg_core.training.distributed import SyncNormsOnCpu
from regseg_core.training.loaders import SegmentationData
from regseg_core.training.report import read_metrics
from regseg_core.training.task import SegmentationTask
from regseg_core.weights import load_weights

CONFIGS = {
    "cross-entropy": TrainingConfig(),
    "class-weights": TrainingConfig(loss=LossConfig(class_weights=1)),
    "bootstrapped": TrainingConfig(loss=LossConfig("bootstrapped", threshold=1.0, hardest=0.0)),
}


class Step(nn.Module):
    """A training step as a forward, which is how Lightning gives it to DistributedDataParallel."""

    def __init__(self, task: SegmentationTask) -> None:
        super().__init__()
        self.task = task

    def forward(self, images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return self.task.training_step((images, truth, ["x"]), 0)


def gradients(config: TrainingConfig, rank: int, world: int) -> dict[str, torch.Tensor]:
    """Of a batch of four, of which each process has its part, with unequal shares of labels.

    In float64: float32 rounds values across the kinks of ReLUs, and gradients by a hundredth.
    """
    task = SegmentationTask(config, CAMVID, steps=1)
    load_weights(task.network, zoo.find("regseg48-camvid"))
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    if config.loss.class_weights:
        task.loss.weights = torch.linspace(0.5, 3, 11)
    step: nn.Module = Step(task)
    if world > 1:
        SyncNormsOnCpu().apply(task)
        step = nn.parallel.DistributedDataParallel(step.double())
    task.double()
    streets = SyntheticStreets(4, 192, 144)
    pairs = [streets[place] for place in range(len(streets))]
    images, truth = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
    truth[0, :90] = 255
    share = slice(rank * 4 // world, (rank + 1) * 4 // world)
    step(images[share], truth[share]).backward()
    named = task.network.named_parameters()
    found = {name: p.grad.clone() for name, p in named if p.grad is not None}
    return found | {name: buffer.clone().float() for name, buffer in task.network.named_buffers()}


def normalized(rank: int, world: int) -> list[torch.Tensor]:
    """What batch normalisation of float64 gives and learns from one batch, and the gradient."""
    torch.manual_seed(1)
    x = torch.randn(6, 5, 4, 3, dtype=torch.float64)
    target = torch.randn_like(x)
    norm: nn.Module = nn.Sequential(nn.BatchNorm2d(5))
    nn.init.uniform_(norm[0].weight)  # type: ignore[index]
    if world > 1:
        norm = SyncNormsOnCpu().apply(norm)
    share = slice(rank * 6 // world, (rank + 1) * 6 // world)
    part = x[share].requires_grad_()
    y = norm.double()(part)
    ((y - target[share]) ** 3).sum().backward()
    assert part.grad is not None
    return [y.detach(), part.grad, *(buffer.double() for buffer in norm.buffers())]


def _process(rank: int, out: Path) -> None:
    torch.set_num_threads(1)
    meeting = (out / "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    for kind, config in CONFIGS.items():
        torch.save(gradients(config, rank, 2), out / f"{kind}{rank}.pt")
    torch.save(normalized(rank, 2), out / f"norm{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def in_two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have computed: a file for each of them and each loss."""
    out = tmp_path_factory.mktemp("distributed")
    spawn(_process, (out,), nprocs=2)  # type: ignore[no-untyped-call]
    return out


@pytest.mark.integration
@pytest.mark.xdist_group("distributed")
@pytest.mark.parametrize("kind", CONFIGS)
def test_two_processes_have_the_gradients_of_one_with_the_double_batch(
    kind: str, in_two_processes: Path
) -> None:
    alone = gradients(CONFIGS[kind], 0, 1)
    for rank in (0, 1):
        together = torch.load(in_two_processes / f"{kind}{rank}.pt", weights_only=True)
        assert together.keys() == alone.keys()
        for name, expected in alone.items():
            error = (together[name] - expected).norm() / expected.norm().clamp(min=1e-12)
            assert error < 1e-9, name


@pytest.mark.integration
@pytest.mark.xdist_group("distributed")
def test_two_processes_normalise_as_one_with_the_double_batch(in_two_processes: Path) -> None:
    whole = normalized(0, 1)
    files = (in_two_processes / f"norm{rank}.pt" for rank in (0, 1))
    parts = [torch.load(file, weights_only=True) for file in files]
    for place, expected in enumerate(whole):
        per_pixel = place < 2
        found = torch.cat([p[place] for p in parts]) if per_pixel else parts[1][place]
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-7)


@pytest.mark.slow
def test_torchrun_trains_as_one_process_does(tmp_path: Path, unused_port: int) -> None:
    data = layouts.camvid(tmp_path / "data", 8)
    settings = (
        "--precision float32 --epochs 2 --batch_size 4 --validate_every 1 --dataset.workers 0"
        " --augment.crop_height 64 --augment.crop_width 64 --optimizer.lr 0.01"
    )
    torchrun = ["torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--master-port", str(unused_port), "-m"]
    for name, launcher in {"one": [], "two": torchrun}.items():
        command = [sys.executable, "-m", *launcher, "regseg_core.train", "--data", str(data)]
        process = subprocess.run(
            [*command, "--out", str(tmp_path / name), *settings.split()],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        )
        assert process.returncode == 0, process.stdout + process.stderr
    assert "in 2 process(es)" in process.stdout
    assert process.stdout.count("best on val") == 1, "rank 0 alone speaks and writes"
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 4
    # The first step is the same; then rounding grows in a network with fresh normalisation.
    assert two[0] == pytest.approx(one[0], abs=2e-5)
    assert two == pytest.approx(one, rel=0.02)
    # The score is of all eight images, of which each process has seen four.
    scores = [
        [row["val_miou"] for row in read_metrics(tmp_path / n) if row.get("val_miou")]
        for n in ("one", "two")
    ]
    assert len(scores[0]) == len(scores[1]) == 2
    assert float(scores[1][0]) == pytest.approx(float(scores[0][0]), abs=0.3)


def test_each_process_must_have_an_image_to_score(tmp_path: Path) -> None:
    data = layouts.camvid(tmp_path / "data", 8)
    module = SegmentationData(str(data), TrainingConfig(batch_size=8), tmp_path / "run")
    module.trainer = SimpleNamespace(world_size=8, global_rank=7)  # type: ignore[assignment]
    [loader] = module.val_dataloader()
    assert len(loader) == 1
    module.trainer.world_size = 9  # type: ignore[misc,union-attr]
    with pytest.raises(DataError, match="val has 8 images for 9 processes, and each must score"):
        module.val_dataloader()
