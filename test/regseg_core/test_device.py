"""What is said of a GPU that PyTorch does not use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from regseg_core.device import unused_gpu


def test_a_gpu_that_pytorch_does_not_find_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "nvidiactl").touch()
    assert not unused_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA: install a build with it" in unused_gpu(tmp_path)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "finds none: ask nvidia-smi" in unused_gpu(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not unused_gpu(tmp_path)
