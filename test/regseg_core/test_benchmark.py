"""Measurements run and say what they compare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from regseg_core.backends.base import Compiled, Job
from regseg_core.backends.eager import Eager
from regseg_core.benchmark import graph, loader, roofline
from regseg_core.benchmark.__main__ import main
from regseg_core.benchmark.checks import Question
from regseg_core.benchmark.timing import device_times
from regseg_core.benchmark.variants import Variant
from regseg_core.media import read_image
from regseg_core.model import create_model


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_graphs_benchmark_runs_on_a_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "IMAGES", 2)
    options = "--device cpu --cases 64x96x2 --seconds 0.05 --frames 30"
    main(f"graph {options} --out {tmp_path}".split())
    [folder] = tmp_path.iterdir()
    table = json.loads((folder / "graph.json").read_text())
    assert [(check["backend"], check["question"].split()[0]) for check in table["checks"]] == [
        (backend, word) for backend in ("openvino", "eager") for word in ("has", "gives", "keeps")
    ]
    assert all(check["passed"] for check in table["checks"] if check["question"][0] == "g")
    rows = table["rows"]
    assert [row["variant"] for row in rows] == [
        "published-style float32",
        "published-style autocast",
        "eager",
        "inductor",
        "openvino",
        "eager, N x C x H x W",
        "eager, normalisation not folded",
    ]
    assert table["left_out"] == []
    for row in rows:
        assert row["agreement"] > 0.97 and 0 < row["roof"] < row["graph_median"]
        assert row["graph_median"] <= row["graph_p95"]
        assert row["two_callers"] > 0 and row["graph_wall_median"] <= row["graph_wall_p95"]
        assert row["times_the_roof"] == pytest.approx(row["graph_median"] / row["roof"])
    assert (folder / "graph-64x96-batch2.png").exists()
    assert "times it" in capsys.readouterr().out


def test_when_the_time_is_up_nothing_is_begun_and_all_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "IMAGES", 1)
    found = graph.run("cpu", tmp_path, [(64, 96, 1)], 0.01, budget=0.0)
    [folder] = tmp_path.iterdir()
    table = json.loads((folder / "graph.json").read_text())
    assert table["rows"] == [] and table["checks"] == []
    assert table["left_out"] == found.left_out
    assert "published-style float32 at 64 x 96 x 1: no time left" in found.left_out


def test_a_variant_that_fails_is_left_out_and_the_next_one_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(job: Job) -> Compiled:
        raise RuntimeError("no kernel image is available")

    def works(job: Job) -> Compiled:
        return Eager().build(job)

    def wrong() -> tuple[str, bool]:
        raise RuntimeError("TensorRT broke")

    pair = (Variant("first", fails), Variant("second", works))
    monkeypatch.setattr(graph, "variants", lambda device: pair)
    monkeypatch.setattr(graph, "questions", lambda *_: [Question("first", "works", wrong)])
    monkeypatch.setattr(graph, "IMAGES", 1)
    found = graph.run("cpu", None, [(64, 96, 1)], 0.01)
    assert [(c.found, c.passed) for c in found.checks] == [("failed: TensorRT broke", False)]
    assert found.left_out == ["first at 64 x 96 x 1: no kernel image is available"]
    assert [row.variant for row in found.rows] == ["second"]


def test_on_a_gpu_many_calls_lie_between_two_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call would be timed with its launch."""
    calls = 0

    class Event:
        def __init__(self, enable_timing: bool) -> None: ...

        def record(self) -> None:
            self.at = calls

        def synchronize(self) -> None: ...

        def elapsed_time(self, last: Event) -> float:
            return 3.0 * (last.at - self.at) + 0.5  # ms, and as long for the events themselves

    def work() -> None:
        nonlocal calls
        calls += 1

    monkeypatch.setattr(torch.cuda, "Event", Event)
    median, _ = device_times(work, torch.device("cuda"), 0.0)
    assert 3.0 < median <= 3.0 + 0.5 / 20


def test_the_roofline_counts_the_papers_multiply_adds() -> None:
    network = create_model("regseg48", 19)
    parts = roofline.costs(network, 1, 1024, 2048)
    assert not any(parameter.is_meta for parameter in network.parameters())
    assert sum(part.multiply_adds for part in parts) == pytest.approx(38.35e9, rel=1e-3)
    twice = roofline.costs(create_model("regseg48", 19), 2, 1024, 2048)
    assert sum(p.multiply_adds for p in twice) == 2 * sum(p.multiply_adds for p in parts)
    slow, quick = roofline.Device(1e9, 1e12), roofline.Device(1e15, 1e12)
    assert roofline.roof(parts, 0, quick) == pytest.approx(38.35e9 / 1e12, rel=1e-3)
    assert roofline.roof(parts, 1e9, slow) > 1 + roofline.roof(parts, 0, quick)
