"""Weight files: every accepted form, every refusal, nothing executed, nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regseg_core import zoo
from regseg_core.errors import WeightsError
from regseg_core.labels import CAMVID
from regseg_core.model import SegmentationNetwork, create_model
from regseg_core.tensor_files import read_tensors
from regseg_core.weights import (
    ModelCard,
    build_model,
    load_weights,
    read_card,
    save_weights,
)

FORMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "published": lambda state: state,
    "published, wrapped": lambda state: {"model": state, "epoch": 999},
    "DistributedDataParallel": lambda state: {
        "model": {f"module.{n}": t for n, t in state.items()}
    },
    "our checkpoint": lambda state: {
        "state_dict": {f"network.{n}": t for n, t in state.items()},
        "epoch": 3,
    },
}


@pytest.fixture(scope="module")
def trained() -> SegmentationNetwork:
    torch.manual_seed(1)
    return create_model("regseg48", 11)


def same(left: SegmentationNetwork, right: SegmentationNetwork) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("form", FORMS)
def test_checkpoints_load(form: str, trained: SegmentationNetwork, tmp_path: Path) -> None:
    torch.save(FORMS[form](trained.state_dict()), tmp_path / "weights.pth")
    model = create_model("regseg48", 11)
    assert load_weights(model, tmp_path / "weights.pth") == []
    assert same(model, trained)


def test_a_mapping_loads(trained: SegmentationNetwork) -> None:
    model = create_model("regseg48", 11)
    load_weights(model, trained.state_dict())
    assert same(model, trained)


def test_saved_weights_carry_their_card(trained: SegmentationNetwork, tmp_path: Path) -> None:
    card = ModelCard("regseg48", CAMVID, {"scores": {"val": 61.5}})
    save_weights(tmp_path / "w.safetensors", trained, card)
    model = create_model("regseg48", 11)
    load_weights(model, tmp_path / "w.safetensors")

    assert read_card(tmp_path / "w.safetensors") == card
    assert json.loads((tmp_path / "w.json").read_text())["scores"] == {"val": 61.5}
    for name, tensor in trained.state_dict().items():
        half = "bn" not in name and tensor.is_floating_point()
        expected = tensor.half().float() if half else tensor
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(model.state_dict()[name], expected), name


def test_every_problem_is_named_at_once_and_the_model_is_unchanged(
    trained: SegmentationNetwork,
) -> None:
    state = dict(trained.state_dict())
    del state["stem.conv.weight"]
    state["stem.extra"] = torch.zeros(1)
    state["decoder.conv8.conv.weight"] = torch.zeros(1, 2)
    state["decoder.conv4.bn.bias"] = torch.full((64,), torch.nan)
    model = create_model("regseg48", 11)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(model, state)

    message = str(caught.value)
    assert "1 missing: stem.conv.weight" in message
    assert "1 unexpected: stem.extra" in message
    assert "decoder.conv8.conv.weight 1 x 2 where the model has 64 x 128 x 3 x 3" in message
    assert "not finite: decoder.conv4.bn.bias" in message
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_other_classes_only_when_asked_for(trained: SegmentationNetwork) -> None:
    model = create_model("regseg48", 19)
    with pytest.raises(WeightsError, match="for 11 classes and the model has 19"):
        load_weights(model, trained.state_dict())
    fresh = load_weights(model, trained.state_dict(), strict_classes=False)

    assert fresh == ["decoder.classifier.weight", "decoder.classifier.bias"]
    kept, replaced = "stem.conv.weight", "decoder.classifier.weight"
    assert torch.equal(model.get_parameter(kept), trained.get_parameter(kept))
    assert model.get_parameter(replaced).shape[0] == 19


class Attack:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize(
    ("write", "why"), [(pickle.dump, "more than they need"), (torch.save, "asks for posix.mkdir")]
)
def test_code_in_a_file_is_not_run(write: Callable[..., None], why: str, tmp_path: Path) -> None:
    victim = tmp_path / "executed"
    with (tmp_path / "evil.pth").open("wb") as file:
        write({"model": {"stem.conv.weight": Attack(victim)}}, file)
    with pytest.raises(WeightsError, match=rf"never run\): it .*{why}$"):
        load_weights(create_model("regseg48", 11), tmp_path / "evil.pth")
    assert not victim.exists()


@pytest.mark.parametrize("numpy", ["1", "2"])
@pytest.mark.parametrize("kind", ["float64", "float32", "int64"])
def test_numbers_of_numpy_beside_the_tensors(
    numpy: str, kind: str, trained: SegmentationNetwork, tmp_path: Path
) -> None:
    """Published files often have their best score."""
    path = tmp_path / "best.pth"
    score = np.dtype(kind).type(61)
    torch.save({"model_state": trained.state_dict(), "best_iou": score}, path)
    if numpy == "1":
        with zipfile.ZipFile(path) as new, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
            for entry in new.namelist():
                content = new.read(entry).replace(b"numpy._core.", b"numpy.core.")
                old.writestr(entry, content)
        path = tmp_path / "old.pth"
    load_weights(create_model("regseg48", 11), path)
    assert read_tensors(path)["best_iou"] == 61


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth"])
def test_a_truncated_file_is_refused(
    name: str, trained: SegmentationNetwork, tmp_path: Path
) -> None:
    if name.endswith("pth"):
        torch.save(trained.state_dict(), tmp_path / name)
    else:
        save_weights(tmp_path / name, trained, ModelCard("regseg48", CAMVID))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=name):
        load_weights(create_model("regseg48", 11), tmp_path / name)


def test_files_that_are_not_weights_are_refused(tmp_path: Path) -> None:
    model = create_model("regseg48", 11)
    with pytest.raises(FileNotFoundError, match="no weights file"):
        load_weights(model, tmp_path / "absent.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list"):
        load_weights(model, tmp_path / "list.pth")
    (tmp_path / "empty.pth").touch()
    with pytest.raises(WeightsError, match=r"empty\.pth is not a checkpoint"):
        load_weights(model, tmp_path / "empty.pth")
    for nothing in ({}, {1: torch.zeros(1)}):
        with pytest.raises(WeightsError, match="no named tensors"):
            load_weights(model, nothing)  # type: ignore[arg-type]


def test_a_failed_write_leaves_the_old_file(
    trained: SegmentationNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = ModelCard("regseg48", CAMVID)
    save_weights(tmp_path / "w.safetensors", trained, card)
    before = (tmp_path / "w.safetensors").read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_weights(tmp_path / "w.safetensors", create_model("regseg48", 11), card)
    assert (tmp_path / "w.safetensors").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.json", "w.safetensors"]


def test_a_card_for_another_normalisation_is_refused(
    trained: SegmentationNetwork, tmp_path: Path
) -> None:
    save_weights(tmp_path / "model", trained, ModelCard("regseg48", CAMVID))
    path = tmp_path / "model.safetensors"
    build_model(ModelCard("regseg48", CAMVID), path)
    other = ModelCard.from_json(ModelCard("regseg48", CAMVID).to_json().replace("0.485", "0.5"))
    with pytest.raises(WeightsError, match=r"normalised with .*0\.5, .*regseg48 takes .*0\.485, "):
        build_model(other, path)
    text = ModelCard("regseg48", CAMVID).to_json()
    with pytest.raises(WeightsError, match=r"normalised with .*'bgr'.*regseg48 takes .*'rgb'"):
        build_model(ModelCard.from_json(text.replace('"rgb"', '"bgr"')), path)
    with pytest.raises(WeightsError, match=r"normalised with .*'gbr'"):
        ModelCard.from_json(text.replace('"rgb"', '"gbr"'))


@pytest.mark.parametrize("name", zoo.names())
def test_shipped_weights_are_small_and_say_what_they_are(name: str) -> None:
    path = zoo.find(name)
    card = read_card(path)
    assert card is not None
    assert path.with_suffix(".json").read_text() == card.to_json() + "\n"
    assert {"training", "scores", "licence"} <= set(card.about)
    assert path.stat().st_size < 8e6
    load_weights(create_model(card.architecture, len(card.labels)), path)


def test_an_unknown_name_lists_the_shipped_weights() -> None:
    with pytest.raises(FileNotFoundError, match="regseg48-camvid"):
        zoo.find("regseg48-camvit")
