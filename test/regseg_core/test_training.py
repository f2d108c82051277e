"""The trainer learns, follows the paper's schedule, and leaves weights that can be used."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from regseg_core import Segmenter
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.labels import CAMVID
from regseg_core.media import write_image
from regseg_core.train import main
from regseg_core.training.config import TrainingConfig, lr_factor
from regseg_core.training.task import SegmentationTask, ema_step


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight synthetic images as train and val, in CamVid's layout."""
    root = tmp_path_factory.mktemp("eight")
    for number, (image, label) in enumerate(SyntheticStreets(8, 160, 120)[i] for i in range(8)):
        for split in ("train", "val"):
            write_image(root / split / f"{number}.png", image)
            write_image(root / f"{split}annot" / f"{number}.png", label)
    return root


def test_eight_images_are_learnt_in_under_a_minute(eight: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    began = time.process_time()
    main(
        f"--data {eight} --out {out} --epochs 140 --batch-size 8 --workers 0 --lr 0.1"
        " --crop-height 120 --crop-width 160 --short-side-min 120 --short-side-max 120"
        " --warmup-iterations 10 --ema-decay 0.9 --validate-every 70".split()
    )
    seconds = time.process_time() - began
    segment = Segmenter(out / "weights.safetensors")
    streets = SyntheticStreets(8, 160, 120)
    right = [
        (segment(image, "rgb8").labels == label).mean()
        for image, label in (streets[i] for i in range(8))
    ]

    assert np.mean(right) >= 0.9
    assert seconds < 2 * 60, "processor time of two cores"
    card = json.loads((out / "weights.json").read_text())
    assert card["training"]["config"]["epochs"] == 140
    assert card["scores"]["val_miou_while_training"] > 40
    assert {"best.ckpt", "last.ckpt", "metrics", "curves.png"} <= {
        path.name for path in out.iterdir()
    }


def test_schedule_is_the_papers() -> None:
    total, warmup = 10_000, 3000
    assert lr_factor(0, total, warmup) == pytest.approx(0.1)
    assert lr_factor(1500, total, warmup) == pytest.approx(0.85**0.9 * 0.55)
    assert lr_factor(2999, total, warmup) == pytest.approx(0.7001**0.9 * 0.9997)
    assert lr_factor(3000, total, warmup) == pytest.approx(0.7**0.9)
    assert lr_factor(5000, total, warmup) == pytest.approx(0.5**0.9)
    assert lr_factor(9999, total, warmup) == pytest.approx(0.0001**0.9)


def test_normalisation_is_not_decayed() -> None:
    task = SegmentationTask(TrainingConfig(), CAMVID)
    task.trainer = type("Trainer", (), {"estimated_stepping_batches": 10})()  # type: ignore[assignment]
    decayed, undecayed = task.configure_optimizers()["optimizer"].param_groups
    names = {id(p): name for name, p in task.network.named_parameters()}
    kept = {names[id(p)] for p in undecayed["params"]}

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
    task = SegmentationTask(TrainingConfig(), CAMVID).eval()
    task.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    images = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    truth = torch.full((1, 32, 32), 255, dtype=torch.uint8)
    assert task.training_step((images, truth), 0).item() == 0, "nothing to learn is no NaN"

    truth[0, :16] = 3
    logits = task.network(task.normalize(images.permute(0, 3, 1, 2)))
    expected = F.cross_entropy(logits[:, :, :16], truth[:, :16].long())
    torch.testing.assert_close(task.training_step((images, truth), 0), expected)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--batch-size 12", "8 training images do not fill a batch of 12"),
        ("--model nope --batch-size 8", "no model is named 'nope'"),
        ("--short-side-min 90 --short-side-max 50", "short_side_min 90 must be"),
        ("--epochs 0", "epochs must be at least 1"),
        ("--synthetic 8 --labels cityscapes --batch-size 8", "ids|labelled with the classes"),
        ("--resume --batch-size 8", "no .*last.ckpt to resume from"),
    ],
)
def test_wrong_settings_end_with_one_line(
    arguments: str, reason: str, eight: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=f"error: .*({reason})"):
        main(f"--data {eight} --out {tmp_path / 'run'} {arguments}".split())


def test_a_run_is_resumed_and_says_when_it_cannot_be(
    eight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = (
        f"--data {eight} --out {tmp_path / 'run'} --batch-size 8 --workers 0 --validate-every 1"
        " --crop-height 64 --crop-width 64"
    )
    main(f"{run} --epochs 1 --start-from regseg48-camvid".split())
    main(f"{run} --epochs 3 --resume".split())
    assert "best on val: epoch" in capsys.readouterr().out
    tables = [path.read_text() for path in tmp_path.glob("run/metrics/*/metrics.csv")]
    assert len(tables) == 2, "the first sitting's metrics are kept"
    with pytest.raises(SystemExit, match="has had its 3 epochs; give more --epochs"):
        main(f"{run} --epochs 3 --resume".split())
    with pytest.raises(SystemExit, match="is a run of regseg48 with classes sky"):
        main(f"{run} --epochs 5 --resume --model regseg53".split())


def test_bad_labels_are_found_before_training(tmp_path: Path) -> None:
    image, label = SyntheticStreets(1, 64, 48)[0]
    for split in ("train", "val"):
        write_image(tmp_path / split / "a.png", image)
        write_image(tmp_path / f"{split}annot" / "a.png", label)
    write_image(tmp_path / "valannot" / "a.png", np.full_like(label, 77))
    with pytest.raises(SystemExit, match=r"error: .*valannot/a\.png: ids \[77\]"):
        main(f"--data {tmp_path} --out {tmp_path / 'run'} --batch-size 1".split())
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten(eight: Path, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_text("precious")
    with pytest.raises(SystemExit, match="holds a run; give --resume"):
        main(f"--data {eight} --out {tmp_path} --batch-size 8".split())
    assert (tmp_path / "last.ckpt").read_text() == "precious"


def test_missing_data_ends_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*train is not a folder"):
        main(["--data", str(tmp_path), "--out", str(tmp_path / "run")])
