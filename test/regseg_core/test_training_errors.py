"""What is wrong with a training is said before it takes time; a bug shows where it is."""

from __future__ import annotations

from pathlib import Path

import layouts
import numpy as np
import pytest
import torch

from regseg_core.media import read_image, write_image
from regseg_core.train import main

QUICK = (
    "--epochs 1 --batch_size 2 --dataset.workers 0 --augment.crop_height 64 --augment.crop_width 64"
)


def test_a_missing_label_is_said_before_a_batch_that_it_would_fill(tmp_path: Path) -> None:
    root = layouts.camvid(tmp_path / "data", 4)
    (root / "trainannot" / "2.png").unlink()
    run = f"--data {root} --out {tmp_path / 'run'} --batch_size 4"
    with pytest.raises(SystemExit, match=r"error: 1 files without .*train/2\.png has no label"):
        main(run.split())


def test_a_folder_that_cannot_be_written_is_noticed_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit, match=r"error: cannot write into .*file/run: Not a directory"):
        main(f"--data {tmp_path / 'none'} --out {tmp_path / 'file' / 'run'}".split())


def test_a_bug_in_training_shows_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misshapen(*_: object) -> torch.Tensor:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("regseg_core.training.losses.PixelLoss.forward", misshapen)
    with pytest.raises(ValueError, match="could not be broadcast"):
        main(f"--data street --out {tmp_path} {QUICK}".split())


def test_a_crop_that_is_too_small_for_the_network_is_said_in_one_line(tmp_path: Path) -> None:
    small = QUICK.replace("crop_height 64", "crop_height 16")
    with pytest.raises(SystemExit, match=r"^error: augment\.crop_height 16 .* at least 32: regseg"):
        main(f"--data street --out {tmp_path} {small}".split())


def test_an_image_that_is_too_small_for_the_network_is_named(tmp_path: Path) -> None:
    root = layouts.camvid(tmp_path / "data", 2)
    for folder in ("val", "valannot"):
        image = read_image(root / folder / "1.png")[:16]
        write_image(root / folder / "1.png", image if folder == "val" else image[..., 0])
    with pytest.raises(SystemExit, match=r"^error: \S+val/1\.png is 160 x 16 pixels; regseg48"):
        main(f"--data {root} --out {tmp_path / 'run'} {QUICK}".split())


def test_bad_labels_are_found_before_training(tmp_path: Path) -> None:
    layouts.camvid(tmp_path, 1)
    write_image(tmp_path / "valannot" / "0.png", np.full((120, 160), 77, np.uint8))
    with pytest.raises(SystemExit, match=r"error: .*\n.*\n.*valannot/0\.png: ids \[77\]"):
        main(f"--data {tmp_path} --out {tmp_path / 'run'} --batch_size 1".split())
    assert not (tmp_path / "run" / "last.ckpt").exists()
