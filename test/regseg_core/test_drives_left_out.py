"""The measure that recipes are chosen by: each drive left out in turn, and scored by itself."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import layouts
import pytest
import yaml
from places import ROOT

from regseg_core.media import read_image


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drives of two images; val is the end of the last, as in CamVid."""
    root = layouts.camvid(tmp_path_factory.mktemp("camvid"), 6, (96, 72))
    for number in range(6):
        for folder in ("train", "val", "trainannot", "valannot"):
            image = root / folder / f"{number}.png"
            if (number == 5) == folder.startswith("val"):
                image.rename(image.with_stem(f"{'ABC'[number // 2]}_{number}"))
            else:
                image.unlink()
    return root


def leave_out(drives: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    quick = "--batch_size 2 --dataset.workers 0 --dataset.street 0"
    asked = f"--data {drives} --out {out} --epochs 1 --seeds 0".split()
    command = [sys.executable, "scripts/leave_drives_out.py", *asked, f"--with={quick}", *options]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=here, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_each_drive_is_scored_by_what_was_trained_on_the_others(
    drives: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = leave_out(drives, out, "--scale", "0.5", "--trial", "base")
    assert done.returncode == 0, done.stderr
    for name in "ABC":
        folder = out / "sets" / name
        assert {path.stem[0] for path in (folder / "val").iterdir()} == {name}
        assert {path.stem[0] for path in (folder / "train").iterdir()} == set("ABC") - {name}
        small = sorted((out / "sets" / f"{name} at 0.5" / "val").iterdir())
        assert [read_image(path).shape for path in small] == [(36, 48, 3)] * 2
        recipe = yaml.safe_load((out / "base" / f"{name}-0" / "config.yaml").read_text())
        assert recipe["augment"]["crop_height"] == 180, "half of the recipe's"
    results = json.loads((out / "drives.json").read_text())
    assert [result["drive"] for result in results] == list("ABC")
    scores = [result["mean_iou"] for result in results]
    row = " | ".join(f"{score:.1f}" for score in [*scores, statistics.mean(scores)])
    assert f"| base | {row} |" in done.stdout

    weights = out / "base" / "C-0" / "weights.safetensors"
    trained = weights.stat().st_mtime_ns
    (out / "base" / "C-0.json").unlink()
    same = leave_out(drives, out, "--scale", "0.5", "--trial", "base")
    assert same.returncode == 0, same.stderr
    assert weights.stat().st_mtime_ns == trained, "scored again, not trained again"
    assert f"| base | {row} |" in same.stdout

    more = ("--scale", "0.5", "--trial", "more", "--after", "base", "--drives", "C")
    again = leave_out(drives, out, *more)
    assert again.returncode == 0, again.stderr
    recipe = yaml.safe_load((out / "more" / "C-0" / "config.yaml").read_text())
    assert recipe["start_from"].endswith("base/C-0/weights.safetensors")
    assert "| base |" in again.stdout and "| more |" in again.stdout


@pytest.mark.integration
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--scale", "2"), "--scale 2 must be above 0 and at most 1"),
        (("--drives", "D"), "there is no drive D; has A, B, C"),
    ],
)
def test_what_cannot_be_left_out_is_one_line(
    options: tuple[str, ...], says: str, drives: Path, tmp_path: Path
) -> None:
    done = leave_out(drives, tmp_path, *options)
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr
