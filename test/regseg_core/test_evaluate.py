"""Scores, views and submissions; the pictures of a report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import layouts
import numpy as np
import pytest
import torch
from places import ROOT

from regseg_core import Segmenter, evaluate, report, zoo
from regseg_core.compile import main as compile_main
from regseg_core.data.layouts import open_images
from regseg_core.data.synthetic import SyntheticStreet, SyntheticStreets
from regseg_core.evaluation.scoring import AveragedViews, SingleView
from regseg_core.labels import CAMVID, CITYSCAPES
from regseg_core.media import read_image, write_image
from regseg_core.model import create_model
from regseg_core.train import main as train
from regseg_core.weights import ModelCard, load_weights, read_card, save_weights


@pytest.fixture(scope="module")
def cityscapes_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped weights with the classifier's rows at the places that Cityscapes has for them."""
    known, network = (create_model("regseg48", len(labels)) for labels in (CAMVID, CITYSCAPES))
    load_weights(known, zoo.find("regseg48-camvid"))
    state = known.state_dict()
    for part, absent in (("weight", 0.0), ("bias", -100.0)):
        name = f"decoder.classifier.{part}"
        rows = torch.full((len(CITYSCAPES), *state[name].shape[1:]), absent)
        rows[torch.from_numpy(layouts.STREET_TO_CITYSCAPES.astype(np.int64))] = state[name]
        state[name] = rows
    network.load_state_dict(state)
    target = tmp_path_factory.mktemp("weights") / "cityscapes.safetensors"
    save_weights(target, network, ModelCard("regseg48", CITYSCAPES))
    return target


def test_evaluate_prints_and_writes_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        image, label = SyntheticStreet(seed=50 + number).frame(2.0)
        write_image(tmp_path / "val" / f"{number}.png", image)
        write_image(tmp_path / "valannot" / f"{number}.png", np.where(label == 10, 11, label))
    evaluate.main(
        f"--weights regseg48-camvid --data {tmp_path} --json {tmp_path / 's.json'}".split()
    )
    scores = json.loads((tmp_path / "s.json").read_text())
    printed = capsys.readouterr().out
    assert scores["images"] == 2 and scores["mean_iou"] > 50
    assert f"{scores['mean_iou']:.2f}" in printed and "bicyclist" in printed
    assert f"2 images, {scores['images_per_second']} segmented per second" in printed


def test_new_weights_are_held_against_the_old_ones(
    cityscapes_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, label = SyntheticStreet(seed=50).frame(2.0)
    write_image(tmp_path / "val/1.png", image)
    write_image(tmp_path / "valannot/1.png", label)
    network = create_model("regseg48", len(CAMVID))
    load_weights(network, zoo.find("regseg48-camvid"))
    with torch.no_grad():
        network.state_dict()["decoder.classifier.bias"][CAMVID.names.index("car")] -= 100
    carless = tmp_path / "carless.safetensors"
    save_weights(carless, network, ModelCard("regseg48", CAMVID))
    shipped = f"--data {tmp_path} --weights regseg48-camvid"
    evaluate.main(f"{shipped} --against regseg48-camvid".split())
    evaluate.main(f"{shipped} --against {carless}".split())
    rows = {row.split()[0]: row.split() for row in capsys.readouterr().out.splitlines() if row}
    assert rows["car"][1] == "0.00" and float(rows["car"][2]) > 50 > 0 > float(rows["car"][3])
    with pytest.raises(SystemExit, match=r"error: the new weights are worse: car falls by \d"):
        evaluate.main(f"--data {tmp_path} --weights {carless} --against regseg48-camvid".split())
    with pytest.raises(SystemExit, match="error: the old weights have the classes road, side"):
        evaluate.main(f"{shipped} --against {cityscapes_weights}".split())


VERIFY = "--size 64x96 --backend openvino --precision float32 --verify"


def test_evaluate_ends_with_one_line(tmp_path: Path) -> None:
    for arguments, reason in (
        ("--weights regseg48-camvid", "holds no split 'val'"),
        ("--weights nothing", "no weights"),
        ("--weights regseg48-camvid --scales 0", "scales must be greater than 0"),
        (
            "--weights regseg48-camvid --flip --backend openvino",
            "computed by PyTorch, not by openv",
        ),
        ("--weights regseg48-camvid --save-submission x", "with the classes of cityscapes"),
    ):
        with pytest.raises(SystemExit, match=f"error: .*{reason}"):
            evaluate.main([*arguments.split(), "--data", str(tmp_path)])
    root = layouts.camvid(tmp_path / "odd", 2)
    (root / "valannot" / "1.png").unlink()
    with pytest.raises(SystemExit, match=r"error: 1 files without .*val/1\.png has no label"):
        evaluate.main(["--data", str(root)])


def test_weights_are_not_scored_on_data_of_other_classes(tmp_path: Path) -> None:
    image, label = np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96), np.uint8)
    root = layouts.folder(tmp_path, {"val/a": (image, label)})
    both = r"labels \(path, grass, person\), not of camvid \(sky, .*bicyclist\)"
    with pytest.raises(SystemExit, match=f"error: .*{both}"):
        evaluate.main(["--data", str(root)])
    with pytest.raises(SystemExit, match=f"error: .*{both}"):
        compile_main([*VERIFY.split(), str(root)])


def test_what_verifies_looks_for_missing_labels(tmp_path: Path) -> None:
    root = layouts.camvid(tmp_path, 2)
    (root / "valannot" / "1.png").unlink()
    with pytest.raises(SystemExit, match=r"error: 1 files without .*val/1\.png has no label"):
        compile_main([*VERIFY.split(), str(root)])


@pytest.mark.parametrize("option", ["--json", "--save-submission"])
def test_a_place_that_cannot_be_written_is_noticed_first(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(evaluate, "make_segmenter", lambda _: pytest.fail("work has begun"))
    with pytest.raises(SystemExit, match=r"error: cannot write into .*file"):
        evaluate.main(["--data", "street", option, str(tmp_path / "file" / "scores")])


def test_scoring_needs_no_trainer() -> None:
    code = (
        "import sys; sys.modules['lightning'] = None\n"
        "import regseg_core.evaluate, regseg_core.compile, regseg_core.evaluation.verify\n"
        "sys.exit(any(name.startswith('regseg_core.training') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_one_view_of_the_own_size_is_what_the_node_sees() -> None:
    segment = Segmenter(precision="float32")
    image, _ = SyntheticStreets(1)[0]
    [once] = SingleView(segment)([image])
    [averaged] = AveragedViews(segment, [1.0], flip=False)([image])
    assert np.array_equal(averaged, once)


def test_a_view_is_never_smaller_than_the_network_can_see() -> None:
    segment = Segmenter(precision="float32")
    image, _ = SyntheticStreets(1, 96, 64)[0]
    tiny, tinier = (
        AveragedViews(segment, [scale], flip=False)([image])[0] for scale in (0.01, 0.001)
    )
    assert tiny.shape == (64, 96) and np.array_equal(tiny, tinier)


def test_mirrored_views_see_a_mirrored_image_alike() -> None:
    segment = Segmenter(precision="float32")
    image, truth = SyntheticStreets(1)[0]
    views = AveragedViews(segment, [0.75, 1.0, 1.25], flip=True)
    seen, mirrored = views([image, np.ascontiguousarray(image[:, ::-1])])
    assert (seen != mirrored[:, ::-1]).mean() < 1e-3
    assert (seen == truth).mean() > 0.95


def submit(weights: Path, root: Path, out: Path) -> dict[str, Any]:
    evaluate.main(
        f"--weights {weights} --data {root} --save-submission {out} --json {out}.json".split()
    )
    scores: dict[str, Any] = json.loads(Path(f"{out}.json").read_text())
    return scores


def test_a_submission_has_full_size_label_ids(cityscapes_weights: Path, tmp_path: Path) -> None:
    root = layouts.cityscapes(tmp_path / "data", 3)
    scores = submit(cityscapes_weights, root, tmp_path / "out")
    assert scores["mean_iou"] > 40
    images = open_images(root, "val")
    assert len(list((tmp_path / "out").iterdir())) == 3
    for image_path, label_path in images.pairs:
        found = cv2.imread(str(tmp_path / "out" / image_path.name), cv2.IMREAD_UNCHANGED)
        truth = cv2.imread(str(label_path), cv2.IMREAD_UNCHANGED)
        assert found.shape == truth.shape and found.dtype == np.uint8
        assert (found == truth)[2:-4].mean() > 0.85


def test_cityscapes_own_scorer_agrees(cityscapes_weights: Path, tmp_path: Path) -> None:
    scorer = pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
        reason="pip install cityscapesScripts to compare with the official scorer",
    )
    root = layouts.cityscapes(tmp_path / "data", 4)
    ours = submit(cityscapes_weights, root, tmp_path / "out")
    pairs = open_images(root, "val").pairs
    arguments = scorer.args
    arguments.JSONOutput, arguments.quiet, arguments.evalInstLevelScore = False, True, False
    theirs = scorer.evaluateImgLists(
        [str(tmp_path / "out" / image.name) for image, _ in pairs],
        [str(label) for _, label in pairs],
        arguments,
    )
    for name, value in ours["iou"].items():
        official = 100 * theirs["classScores"][name]
        assert (value is None) == np.isnan(official), name
        if value is not None:
            assert value == pytest.approx(official, abs=0.01), name
    assert ours["mean_iou"] == pytest.approx(100 * theirs["averageScoreClasses"], abs=0.01)


@pytest.mark.integration
def test_a_report_shows_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = layouts.camvid(tmp_path / "data", 10), tmp_path / "run"
    train(
        f"--data {data} --out {run} --epochs 2 --batch_size 8 --validate_every 1"
        " --dataset.workers 0 --augment.crop_height 64 --augment.crop_width 64"
        " --start_from regseg48-camvid --optimizer.lr 0.001".split()
    )
    report.main([str(run)])
    names = {"curves", "iou", "confusion", "reliability", "best", "worst"}
    assert {path.stem for path in (run / "report").iterdir()} == names
    assert capsys.readouterr().out.count("wrote ") == 7
    best, worst = (read_image(run / "report" / f"{name}.png") for name in ("best", "worst"))
    # Eight rows of four panels of 160 x 120, of which the last one shows errors in red.
    assert best.shape == worst.shape and best.shape[1] == 4 * 160 + 3 * 6
    red = [(sheet[..., 0] == 255) & (sheet[..., 1] == 40) for sheet in (best, worst)]
    assert 0 < red[0][:, 498:].sum() < red[1][:, 498:].sum()
    assert red[0][:, :490].sum() == 0

    with pytest.raises(SystemExit, match=r"error: .*nothing"):
        report.main([str(tmp_path / "nothing")])
    assert read_card(run / "weights.safetensors").labels == CAMVID  # type: ignore[union-attr]
