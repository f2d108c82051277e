"""A training process that is killed goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import layouts
import pytest
import safetensors.torch
import torch
import yaml
from runs import losses

#: float32 on one thread, so that sums come in one order; the EMA follows fast enough to be seen.
SETTINGS = (
    "--precision float32 --epochs 4 --batch_size 4 --validate_every 2 --dataset.workers 1"
    " --augment.crop_height 64 --augment.crop_width 64 --optimizer.ema_decay 0.8"
    " --augment.short_side_min 60 --augment.short_side_max 130 --dataset.class_uniform 0.5"
    " --dataset.tile 60"
)


def start(
    data: Path, out: Path, *more: str, setup: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        f"{sys.executable} -m regseg_core.train --data {data} --out {out} {SETTINGS}".split()
        + list(more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=setup,
        start_new_session=True,
    )


class Reader:
    """What a process has written so far, read beside it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.text = ""
        assert process.stdout is not None
        self._file = process.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while part := os.read(self._file.fileno(), 4096):
            self.text += part.decode(errors="replace")


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def kill_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """kill -9, with its loader processes, as soon as `ready`."""
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.camvid(tmp_path_factory.mktemp("data"), 24)


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted")
    finish(start(data, run))
    return run


def assert_equal_runs(run: Path, other: Path) -> None:
    expected = losses(other)
    assert len(expected) == 24
    torch.testing.assert_close(losses(run), expected, atol=1e-5, rtol=0)
    states = [torch.load(r / "last.ckpt", weights_only=True) for r in (run, other)]
    for part in ("state_dict", "current_model_state"):
        for name, value in states[1][part].items():
            torch.testing.assert_close(states[0][part][name], value, atol=1e-5, rtol=0)
    scores = [json.loads((r / "weights.json").read_text())["scores"] for r in (run, other)]
    assert scores[0] == scores[1]


@pytest.mark.slow
@pytest.mark.xdist_group("uninterrupted")
def test_killed_in_mid_epoch(data: Path, uninterrupted: Path, tmp_path: Path) -> None:
    process = start(data, tmp_path)
    seen = Reader(process)

    def in_the_third_epoch() -> bool:
        return re.search(r"Epoch 2: .* [1-5]/6 ", seen.text) is not None

    kill_when(process, in_the_third_epoch)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 1
    finish(start(data, tmp_path, "--resume"))
    assert_equal_runs(tmp_path, uninterrupted)


@pytest.mark.slow
@pytest.mark.xdist_group("uninterrupted")
def test_killed_while_a_checkpoint_is_written(
    data: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    process = start(data, tmp_path)
    whole = tmp_path / "last.ckpt"
    # Once there is one: the next one's unfinished file is there while it is written.
    kill_when(process, lambda: whole.exists() and any(tmp_path.glob(".last.ckpt.*.partial")))
    saved = torch.load(whole, weights_only=True)["epoch"]
    assert saved in (0, 1)
    finish(start(data, tmp_path, "--resume"))
    assert_equal_runs(tmp_path, uninterrupted)
    assert not list(tmp_path.glob(".*.partial")), "what was left behind is cleared away"


@pytest.mark.slow
@pytest.mark.xdist_group("uninterrupted")
def test_a_run_that_is_moved_keeps_its_best_epoch(
    data: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(uninterrupted, moved)
    saved = torch.load(moved / "last.ckpt", weights_only=True)
    [state] = [s for name, s in saved["callbacks"].items() if "val_miou" in name]
    # A score that no later epoch reaches.
    unreached = torch.tensor(99.0)
    state |= {"best_model_score": unreached, "kth_value": unreached}
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], unreached)
    torch.save(saved, moved / "last.ckpt")
    epoch = torch.load(moved / "best.ckpt", weights_only=True)["epoch"]
    output = finish(start(data, moved, "--resume", "--epochs", "6"))
    assert f"best on val: epoch {epoch + 1} of 6, mIoU 99.0" in output
    assert torch.load(moved / "best.ckpt", weights_only=True)["epoch"] == epoch
    assert torch.load(uninterrupted / "best.ckpt", weights_only=True)["epoch"] == epoch


@pytest.mark.slow
@pytest.mark.xdist_group("uninterrupted")
def test_killed_before_the_weights_are_written(
    data: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    expected = (run / "weights.safetensors").read_bytes()
    (run / "weights.safetensors").unlink()
    shutil.rmtree(run / "report")
    older = yaml.safe_load((run / "config.yaml").read_text())
    del older["optimizer"]["kind"], older["augment"]["light"]  # before there were these fields
    (run / "config.yaml").write_text(yaml.safe_dump(older))
    assert "best on val" in finish(start(data, run, "--resume"))
    tensors = safetensors.torch.load((run / "weights.safetensors").read_bytes())
    for name, tensor in safetensors.torch.load(expected).items():
        assert torch.equal(tensors[name], tensor)
    assert (run / "report" / "curves.png").exists()
    refused = start(data, run, "--resume").communicate(timeout=300)[0]
    assert "has had its 4 epochs; give more --epochs" in refused


@pytest.mark.slow
@pytest.mark.xdist_group("uninterrupted")
def test_killed_before_the_first_epoch_ends(
    data: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(uninterrupted / "config.yaml", run)
    assert "no epoch had ended: from the beginning" in finish(start(data, run, "--resume"))
    assert_equal_runs(run, uninterrupted)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(data: Path, tmp_path: Path) -> None:
    finish(start(data, tmp_path, "--epochs", "2"))
    before = (tmp_path / "last.ckpt").read_bytes()

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))

    process = start(data, tmp_path, "--resume", setup=little_room)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert re.search(r"^error: cannot write .*\.ckpt: File too large", output, re.MULTILINE), output
    assert (tmp_path / "last.ckpt").read_bytes() == before
    finish(start(data, tmp_path, "--resume"))


@pytest.mark.integration
def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    broken = layouts.camvid(tmp_path / "broken", 4)
    image = broken / "train" / "2.png"
    image.write_bytes(image.read_bytes()[:3000])  # its header is whole
    process = start(broken, tmp_path / "run")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.search(r"^error: .*train/2\.png is not a readable image", output, re.MULTILINE), (
        output
    )


@pytest.mark.slow
@pytest.mark.xdist_group("uninterrupted")
def test_a_corrupt_checkpoint_is_named(data: Path, uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    checkpoint = run / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:10_000])
    process = start(data, run, "--resume")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.search(r"^error: .*last\.ckpt is not a checkpoint", output, re.MULTILINE), output
