"""Measurements run and say what they compare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regseg_core.benchmark import loader
from regseg_core.benchmark.__main__ import main
from regseg_core.media import read_image


def test_the_loaders_benchmark_writes_its_table_and_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "FILES", 2)
    monkeypatch.setattr(loader, "READ", 4)
    main(["loader", "--rounds", "1", "--workers", "0", "--out", str(tmp_path)])
    table = json.loads((tmp_path / "loader.json").read_text())
    assert set(table["ratios"]) == {
        "camvid480 loader / training",
        "1024 x 2048 loader / plain PIL",
    }
    printed = capsys.readouterr().out
    for name, [rate] in table["images_per_second"].items():
        assert rate > 0 and name in printed
    assert read_image(tmp_path / "loader.png").shape[2] == 3
