"""The networks' benchmark: a table, plots, and short trainings that go on where they stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from regseg_core.benchmark.__main__ import main
from regseg_core.benchmark.loader import write_camvid
from regseg_core.benchmark.network_table import Row, table
from regseg_core.media import read_image

RECIPE = """
batch_size: 2
dataset: {labels: camvid, workers: 0}
augment: {crop_height: 64, crop_width: 96, short_side_min: 64, short_side_max: 120}
optimizer: {lr: 0.01, ema_decay: 0.9}
"""


def with_val(data: Path) -> Path:
    """Of the images that are trained on."""
    for part in ("train", "trainannot"):
        shutil.copytree(data / part, data / part.replace("train", "val"))
    return data


@pytest.mark.slow
def test_networks_are_measured_and_trained_beside_one_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = with_val(write_camvid(tmp_path / "data", 4))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    names = ["regseg48", "ddrnet23_slim"]
    command = (
        f"networks --device cpu --sizes 64x96 --rounds 1 --names {' '.join(names)}"
        f" --data {data} --minutes 0.01 --scale 0.5 --config {tmp_path / 'recipe.yaml'}"
        f" --out {tmp_path / 'out'}"
    ).split()
    main(command)
    [folder] = [path.parent for path in (tmp_path / "out").rglob("networks.json")]
    rows = json.loads((folder / "networks.json").read_text())["rows"]
    assert [row["network"] for row in rows] == names
    for row in rows:
        assert set(row["times"]) == {"published-style float32", "eager", "openvino"}
        assert all(time > 0 for time in row["times"].values()) and not row["left_out"]
        assert 0 < row["miou"] < 100 and row["epochs"] >= 1
    assert rows[1]["parameters"] == pytest.approx(5.7e6, rel=0.01)
    assert read_image(folder / "networks-64x96.png").shape[2] == 3
    small = read_image(tmp_path / "out/runs/data/val/00000.png")
    assert small.shape == (180, 240, 3)
    trained = tmp_path / "out/runs/ddrnet23_slim/weights.safetensors"
    written = trained.stat().st_mtime_ns
    capsys.readouterr()
    main(command)
    assert trained.stat().st_mtime_ns == written  # what is done is read
    assert "| ddrnet23_slim | 64 x 96 | 5.70 |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_network_that_cannot_train_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = with_val(write_camvid(tmp_path / "data", 2))
    small = RECIPE.replace("height: 64", "height: 40").replace("width: 96", "width: 40")
    (tmp_path / "recipe.yaml").write_text(small)
    main(
        "networks --device cpu --sizes 96x96 --rounds 1 --names fc_hardnet70 ddrnet23_slim"
        f" --data {data} --minutes 0.001 --config {tmp_path / 'recipe.yaml'}"
        f" --out {tmp_path / 'out'}".split()
    )
    [written] = (tmp_path / "out").rglob("networks.json")
    first, second = json.loads(written.read_text())["rows"]
    assert "at least 61" in first["left_out"][0] and first["miou"] is None
    assert second["miou"] is not None and not second["left_out"]
    assert "Left out: fc_hardnet70, training: " in capsys.readouterr().out


def test_data_that_no_network_can_be_trained_on_are_refused(tmp_path: Path) -> None:
    """Once and before anything is measured, not as what each network cannot do."""
    data = with_val(write_camvid(tmp_path / "data", 1))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    command = f"networks --data {data} --config {tmp_path / 'recipe.yaml'} --out {tmp_path / 'out'}"
    with pytest.raises(SystemExit, match="1 training images do not fill a batch of 2"):
        main(command.split())
    assert not [*tmp_path.rglob("networks.json")]


def test_the_table_compares_with_ours_at_the_same_size() -> None:
    rows = [
        Row("regseg48", 8, 9, 3_300_000, 2e9, {"eager": 10.0}, 50.0, 3),
        Row("other", 8, 9, 1_000_000, 1e9, {"eager": 25.0, "openvino": 5.0}),
        Row("other", 16, 9, 1_000_000, 2e9, {"eager": 50.0}),
    ]
    assert table(rows).splitlines()[2:] == [
        "| regseg48 | 8 x 9 | 3.30 | 2.0 | 10.0 (1.00) |  | 50.0 | 3 |",
        "| other | 8 x 9 | 1.00 | 1.0 | 25.0 (2.50) | 5.0 |  |  |",
        "| other | 16 x 9 | 1.00 | 2.0 | 50.0 |  |  |  |",
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--data street", "trainings need --out"),
        ("--data street --out OUT --scale 0.5", "the synthetic street has one size: give scale 1"),
        ("--data street --out OUT --config RECIPE", "compared from scratch, .* starts from regseg"),
    ],
)
def test_unfair_trainings_are_refused(arguments: str, reason: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{RECIPE}start_from: regseg48-camvid\n")
    there = arguments.replace("OUT", str(tmp_path / "out")).replace("RECIPE", str(recipe))
    with pytest.raises(SystemExit, match=reason):
        main(["networks", *there.split()])
    assert not (tmp_path / "out").exists()
