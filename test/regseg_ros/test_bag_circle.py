"""The whole circle: record, mine, correct, train, gate, compile, launch."""

from __future__ import annotations

import json
from pathlib import Path

import bags
import numpy as np
import pytest
from rig import image, pixels, rig

from regseg_core import compile, evaluate
from regseg_core.annotation.pool import Pool
from regseg_core.arrays import Image
from regseg_core.bag.__main__ import main as bag
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.labels import CAMVID
from regseg_core.train import main as train

pytestmark = pytest.mark.slow

SIZE = (160, 120)
RECIPE = """
batch_size: 4
validate_every: 30
dataset: {workers: 0}
augment: {crop_height: 120, crop_width: 160, short_side_min: 110, short_side_max: 140}
optimizer: {lr: 0.02, warmup: 5, ema_decay: 0.9}
"""


def streets(seed: int, count: int) -> list[tuple[Image, Image]]:
    """Images and the ids of what is in them, a second apart."""
    street = SyntheticStreet(*SIZE, seed=seed)
    return [street.frame(float(second)) for second in range(count)]


def split(data: Path, name: str, examples: list[tuple[Image, Image]]) -> None:
    pool = Pool.create(data, CAMVID, name)
    for number, (street, label) in enumerate(examples):
        pool.add(f"{number}", street, label)


def test_a_robot_gets_better_by_what_it_was_unsure_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, recipe = tmp_path / "mydata", tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    split(data, "train", streets(1, 4))
    split(data, "val", streets(50, 3) + streets(51, 3) + streets(52, 3))  # unseen
    common = f"--config {recipe} --data {data} --epochs 30"
    train(f"{common} --out {tmp_path / 'first'}".split())
    robot = tmp_path / "first/weights.safetensors"

    # Recorded: two drives, of which somebody knows what is to be seen.
    known: dict[int, Image] = {}
    drives = []
    for number, seed in enumerate((2, 3)):
        sent = []
        for second, (street, label) in enumerate(streets(seed, 20)):
            time_ns = bags.BEGIN_NS + (100 * number + second) * 10**9
            known[time_ns] = label
            sent.append(bags.image(bags.FRONT, time_ns, street))
        drives.append(bags.write_bag(tmp_path / f"drive{number}", sent, "mcap"))

    # Mined, and corrected in CVAT by who knows.
    pool, corrected = tmp_path / "pool", tmp_path / "corrected"
    weights = f"--weights {robot} --device cpu"
    bag(f"mine {drives[0]} {drives[1]} --count 16 --min-distance 0 --out {pool} {weights}".split())
    rows = (pool / "why.csv").read_text().splitlines()[1:]
    assert len(rows) == 16 and {row.split(",")[2] for row in rows} == {"drive0", "drive1"}
    mined, truth = Pool.open(pool), Pool.create(corrected, CAMVID)
    for number, name in enumerate(mined.names):
        label = known[int(name.rpartition("_")[2])]
        truth.add(name, mined.image_path(number).read_bytes(), label)
    bag(f"export {corrected} --to cvat --out {tmp_path / 'cvat'}".split())
    task = tmp_path / "cvat/annotations.xml"
    bag(f"import {task} --pool {pool} --out {data} --out-split mined".split())
    imported = Pool.open(data, "mined")
    assert all(np.array_equal(imported.label(n), truth.label(n)) for n in range(16))
    assert "16 images" in capsys.readouterr().out

    next_run = f"{common} --start_from {robot} --dataset.train [train,mined]"
    train([*next_run.split(), "--out", str(tmp_path / "next")])
    better, scores = tmp_path / "next/weights.safetensors", tmp_path / "scores.json"
    gate = f"--data {data} --device cpu --json {scores}"
    evaluate.main(f"{gate} --weights {robot}".split())
    before = json.loads(scores.read_text())["mean_iou"]
    evaluate.main(f"{gate} --weights {better} --against {robot}".split())
    after = json.loads(scores.read_text())["mean_iou"]
    print(f"mIoU on unseen streets: {before} -> {after}")
    assert after > before + 2

    engine = tmp_path / "next.engine"
    graph = f"--size {SIZE[1]}x{SIZE[0]} --encoding rgb8 --backend openvino --confidence"
    compile.main(f"--weights {better} {graph} --precision float32 -o {engine}".split())
    with rig(tmp_path) as node:
        node.start("-p", f"weights:={better}", "-p", f"engine:={engine}", "-p", "backend:=openvino")
        node.until_said("active:")
        labels = node.listen("/regseg/label")
        node.until_connected()
        street, label = streets(50, 1)[0]
        node.send_until(image(street, "rgb8"), lambda: labels)
        assert (pixels(labels[0]) == label)[label != CAMVID.ignore_id].mean() > 0.7
