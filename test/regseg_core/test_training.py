"""The trainer learns, follows the paper's schedule, and leaves weights that can be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import layouts
import numpy as np
import pytest
import torch
import yaml
from places import ROOT
from runs import losses
from torch.nn import functional as F

from regseg_core import Segmenter
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.labels import CAMVID
from regseg_core.train import main
from regseg_core.training.config import OptimizerConfig, TrainingConfig, lr_factor
from regseg_core.training.task import SegmentationTask, ema_step
from regseg_core.weights import read_card

#: A run that takes seconds.
QUICK = (
    "--batch_size 8 --dataset.workers 0 --validate_every 1"
    " --augment.crop_height 64 --augment.crop_width 64"
)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.camvid(tmp_path_factory.mktemp("eight"), 8)


@pytest.fixture(scope="module")
def trained(eight: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs."""
    run = tmp_path_factory.mktemp("trained") / "run"
    main(f"--data {eight} --out {run} {QUICK} --epochs 2 --seed 3".split())
    return run


@pytest.mark.slow
def test_eight_images_are_learnt_in_140_steps(eight: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    main(
        f"--data {eight} --out {out} --epochs 140 --batch_size 8 --dataset.workers 0"
        " --augment.crop_height 120 --augment.crop_width 160"
        " --augment.short_side_min 120 --augment.short_side_max 120"
        " --optimizer.lr 0.1 --optimizer.warmup 10 --optimizer.ema_decay 0.9"
        " --validate_every 70".split()
    )
    segment = Segmenter(out / "weights.safetensors")
    streets = SyntheticStreets(8, 160, 120)
    right = [
        (segment(image, "rgb8").labels == label).mean()
        for image, label in (streets[i] for i in range(8))
    ]

    assert np.mean(right) >= 0.9
    card = json.loads((out / "weights.json").read_text())
    assert card["scores"]["val_miou_while_training"] > 40


@pytest.mark.integration
def test_the_loss_falls(eight: Path, tmp_path: Path) -> None:
    steps = "--epochs 24 --validate_every 24 --optimizer.lr 0.1 --optimizer.warmup 4"
    main(f"--data {eight} --out {tmp_path} {QUICK} {steps}".split())
    seen = losses(tmp_path)
    assert len(seen) == 24 and np.mean(seen[-4:]) < 0.7 * seen[0]


@pytest.mark.integration
@pytest.mark.xdist_group("trained")
def test_a_run_leaves_what_is_needed_to_use_and_to_judge_it(trained: Path) -> None:
    card = json.loads((trained / "weights.json").read_text())
    assert card["training"]["config"]["epochs"] == 2
    assert card["scores"]["val_miou_while_training"] >= 0
    off = card["scores"]["val_calibration_error"]
    assert 0.25 <= card["temperature"] <= 4 and off["with_temperature"] <= off["as_trained"] + 1
    assert (trained / "report/reliability.png").is_file()
    assert Segmenter(trained / "weights.safetensors").labels == CAMVID
    assert {"best.ckpt", "last.ckpt", "metrics", "tensorboard", "config.yaml", "survey.npz"} <= {
        path.name for path in trained.iterdir()
    }
    assert list(trained.glob("tensorboard/version_0/events.out.tfevents.*"))


def test_schedule_is_the_papers() -> None:
    total, warmup = 10_000, 3000
    assert lr_factor(0, total, warmup) == pytest.approx(0.1)
    assert lr_factor(1500, total, warmup) == pytest.approx(0.85**0.9 * 0.55)
    assert lr_factor(2999, total, warmup) == pytest.approx(0.7001**0.9 * 0.9997)
    assert lr_factor(3000, total, warmup) == pytest.approx(0.7**0.9)
    assert lr_factor(5000, total, warmup) == pytest.approx(0.5**0.9)
    assert lr_factor(9999, total, warmup) == pytest.approx(0.0001**0.9)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_normalisation_is_not_decayed(kind: Literal["sgd", "adamw"]) -> None:
    config = TrainingConfig(optimizer=OptimizerConfig(kind))
    task = SegmentationTask(config, CAMVID, steps=10)
    optimizer = task.configure_optimizers()["optimizer"]
    decayed, undecayed = optimizer.param_groups
    names = {id(p): name for name, p in task.network.named_parameters()}
    kept = {names[id(p)] for p in undecayed["params"]}

    assert type(optimizer).__name__.lower() == kind
    assert decayed["weight_decay"] == 1e-4 and undecayed["weight_decay"] == 0
    assert len(decayed["params"]) + len(undecayed["params"]) == len(names)
    assert kept == {name for name in names.values() if ".bn" in name}


def test_the_average_follows_early_and_keeps_late() -> None:
    average, current = [torch.zeros(1)], [torch.ones(1)]
    ema_step(0.99, average, current, torch.tensor(1))
    assert average[0].item() == pytest.approx(1 - 2 / 11)
    ema_step(0.99, average, [torch.zeros(1)], torch.tensor(10_000))
    assert average[0].item() == pytest.approx((1 - 2 / 11) * 0.99)


def test_ignored_pixels_do_not_count() -> None:
    torch.manual_seed(0)
    task = SegmentationTask(TrainingConfig(), CAMVID, steps=10).eval()
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    images = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    truth = torch.full((1, 32, 32), 255, dtype=torch.uint8)
    nothing = task.training_step((images, truth, ["a"]), 0)
    assert nothing.item() == 0, "nothing to learn is no NaN"

    truth[0, :16] = 3
    logits = task.network(task.normalize(images.permute(0, 3, 1, 2)))
    expected = F.cross_entropy(logits[:, :, :16], truth[:, :16].long())
    torch.testing.assert_close(task.training_step((images, truth, ["a"]), 0), expected)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--batch_size 12", "8 training images do not fill a batch of 12"),
        ("--model nope --batch_size 8", "no model is named 'nope'"),
        ("--dataset.street 8 --dataset.labels cityscapes --batch_size 8", "classes of camvid"),
        ("--dataset.val test --batch_size 8", "holds no split 'test'"),
        ("--resume --batch_size 8", "no .*last.ckpt to resume from"),
        ("--start_from nothing --batch_size 8", "no weights"),
        ("--model ddrnet23_slim --batch_size 1", "one image at a time.*--batch_size 2"),
    ],
)
def test_what_cannot_be_trained_ends_with_one_line(
    arguments: str, reason: str, eight: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=f"error: .*({reason})"):
        main(f"--data {eight} --out {tmp_path / 'run'} {arguments}".split())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--epohcs 3", "there is no field 'epohcs'; did you mean 'epochs'?"),
        ("--lr 3", "there is no field 'lr'; did you mean 'optimizer.lr'?"),
        ("--batch-size 3", "there is no field 'batch-size'; did you mean 'batch_size'?"),
        ("--augment.flip no", "there is no field 'augment.flip'"),
        ("--epochs many", "field \"epochs\": Expected a <class 'int'>. Got value: many"),
        ("--loss.kind mse", "Expected a typing.Literal['cross-entropy', 'bootstrapped']"),
        ("--epochs 0", "epochs must be at least 1"),
        ("--loss.hardest 2", "loss.hardest must be from 0 to 1"),
        ("--optimizer.lr -1", "optimizer.lr must be at least 0, not -1"),
        ("--optimizer.clip_norm -1", "optimizer.clip_norm must be at least 0, not -1"),
        ("--dataset.workers -1", "dataset.workers must be at least 0, not -1"),
        ("--seed 4294967296", "seed must be below 2^32"),
        ("--augment.short_side_min 90 --augment.short_side_max 50", "short_side_min 90 must be"),
        ("--config none.yaml", "File does not exist"),
        ("", "give --data"),
    ],
)
def test_wrong_fields_end_with_one_line(
    arguments: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments.split())
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and reason in line


def test_a_wrong_field_in_a_file_is_refused_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("optimzer:\n  lr: 1\n")
    with pytest.raises(SystemExit, match="2"):
        main(["--config", str(tmp_path / "c.yaml"), "--data", "street"])
    assert "there is no field 'optimzer.lr'; did you mean 'optimizer.lr'?" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("preset", sorted((ROOT / "config" / "train").glob("*.yaml")))
def test_presets_can_be_read_and_printed(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--config", str(preset), "--seed", "7", "--print-config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    stored = yaml.safe_load(preset.read_text())
    assert printed["seed"] == 7
    for key, value in stored.items():
        if isinstance(value, dict):
            assert {name: printed[key][name] for name in value} == value
        else:
            assert printed[key] == value


def test_help_explains_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for part in ("--optimizer.lr LR learning rate", "rows of a training crop, pixels", "nats"):
        assert part in text


@pytest.mark.integration
def test_a_run_is_resumed_and_says_when_it_cannot_be(
    eight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = f"--data {eight} --out {tmp_path / 'run'} {QUICK}"
    main(f"{run} --epochs 1 --start_from regseg48-camvid".split())
    again = f"--config {tmp_path / 'run' / 'config.yaml'} --out {tmp_path / 'run'} --resume"
    main(f"{again} --epochs 3".split())
    assert "best on val: epoch" in capsys.readouterr().out
    card = read_card(tmp_path / "run" / "weights.safetensors")
    assert card is not None and "CC BY-NC 4.0" in card.about["licence"], "of the first weights"
    tables = [path.read_text() for path in tmp_path.glob("run/metrics/*/metrics.csv")]
    assert len(tables) == 2, "the first sitting's metrics are kept"
    with pytest.raises(SystemExit, match="has had its 3 epochs; give more --epochs"):
        main(f"{again} --epochs 3".split())
    with pytest.raises(SystemExit, match="another run: model was 'regseg48', is 'regseg53'"):
        main(f"{again} --epochs 5 --model regseg53".split())


@pytest.mark.integration
def test_the_last_epoch_is_kept_where_val_is_trained_on(
    eight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = f"--data {eight} --out {tmp_path} {QUICK} --dataset.train [train,val] --epochs 2"
    main(run.split())
    assert "keeping epoch 2, the last: val is trained on" in capsys.readouterr().out
    card = json.loads((tmp_path / "weights.json").read_text())
    assert card["training"]["images"] == 16 and card["scores"] == {}
    assert "licence" not in card


@pytest.mark.integration
@pytest.mark.xdist_group("trained")
def test_the_same_seed_gives_the_same_curve(trained: Path, eight: Path, tmp_path: Path) -> None:
    def again(seed: int, workers: int) -> list[float]:
        out = tmp_path / f"{seed}"
        arguments = f"--data {eight} --out {out} {QUICK} --epochs 2 --seed {seed}"
        main([*arguments.split(), "--dataset.workers", str(workers)])
        return losses(out)

    assert again(3, workers=2) == losses(trained), "on any number of loader processes"
    assert again(4, workers=0) != losses(trained)


@pytest.mark.integration
def test_a_loss_that_is_no_number_stops_the_run_and_names_the_images(
    eight: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        SystemExit, match=r"step \d+ is no number; .*train/\d.*clip_norm 1, or begin"
    ):
        main(f"--data {eight} --out {tmp_path} {QUICK} --epochs 9 --optimizer.lr 1e30".split())


@pytest.mark.integration
@pytest.mark.xdist_group("trained")
def test_class_weights_come_from_the_labels(trained: Path, eight: Path, tmp_path: Path) -> None:
    same = f"--data {eight} {QUICK} --epochs 2 --seed 3 --out {tmp_path}"
    main(f"{same} --loss.class_weights 0.5".split())
    assert losses(tmp_path) != losses(trained)


@pytest.mark.integration
def test_cityscapes_trains_with_class_uniform_sampling(tmp_path: Path) -> None:
    root = layouts.cityscapes(tmp_path / "data", 4)
    main(
        f"--data {root} --out {tmp_path / 'run'} {QUICK} --batch_size 2 --epochs 1"
        " --dataset.class_uniform 0.5 --dataset.tile 64 --loss.kind bootstrapped".split()
    )
    assert Segmenter(tmp_path / "run" / "weights.safetensors").labels.name == "cityscapes"


def test_a_run_is_not_overwritten(eight: Path, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_text("precious")
    with pytest.raises(SystemExit, match="holds a run; give --resume"):
        main(f"--data {eight} --out {tmp_path} --batch_size 8".split())
    assert (tmp_path / "last.ckpt").read_text() == "precious"


def test_too_little_shared_memory_is_said(eight: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: 2 loader processes need \d+ MiB of shared"):
        main(
            f"--data {eight} --out {tmp_path} --batch_size 8 --dataset.workers 2"
            " --augment.crop_height 30000 --augment.crop_width 30000".split()
        )
