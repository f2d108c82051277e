"""Confidence that is what it says."""

from __future__ import annotations

import json
from pathlib import Path

import layouts
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from regseg_core import evaluate
from regseg_core.errors import WeightsError
from regseg_core.evaluation.reliability import TEMPERATURES, Reliability
from regseg_core.labels import IGNORE_INDEX
from regseg_core.media import read_image
from regseg_core.weights import ModelCard, build_model, find_weights


def drawn(logits: Tensor, temperature: float) -> Tensor:
    """A truth that follows the probabilities under that temperature. C x H x W -> H x W uint8."""
    chances = (logits / temperature).softmax(0).flatten(1).T
    chosen = torch.multinomial(chances, 1, generator=torch.Generator().manual_seed(0))
    return chosen.reshape(logits.shape[1:]).to(torch.uint8)


def found(temperature: float, stretched: float = 1.0) -> Reliability:
    """Of a network whose truth follows that temperature."""
    logits = 4 * torch.randn(5, 100, 100, generator=torch.Generator().manual_seed(1))
    truth = drawn(logits, temperature)
    truth[:20] = IGNORE_INDEX
    result = Reliability()
    for _ in range(3):
        result.update(logits * stretched, truth)
    return result


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_of_the_truth_is_found(temperature: float) -> None:
    result = found(temperature)
    assert result.pixels == 3 * 80 * 100
    assert result.temperature == pytest.approx(temperature, rel=0.05)
    assert result.error(result.temperature) < 0.015
    assert result.error(1.0) > 0.05 or temperature == 1.0
    assert found(temperature, 1.5).temperature == pytest.approx(1.5 * temperature, rel=0.06)


def test_who_is_too_sure_is_right_less_often_than_it_says() -> None:
    for temperature, sign in ((0.5, 1), (2.0, -1)):
        curve = found(temperature).curve(1.0)
        common = len(curve.share[curve.share > 0.02])
        assert (sign * (curve.right - curve.confidence)[-common:] > 0.01).all()
        assert curve.share.sum() == pytest.approx(1)


def test_nothing_that_is_labelled_changes_nothing() -> None:
    empty = Reliability()
    empty.update(torch.randn(3, 8, 8), torch.full((8, 8), IGNORE_INDEX, dtype=torch.uint8))
    assert empty.temperature == 1.0 and empty.error(1.0) == 0.0
    assert TEMPERATURES[len(TEMPERATURES) // 2] == 1.0


def test_a_temperature_changes_confidence_and_no_label(street: npt.NDArray[np.uint8]) -> None:
    card, path = find_weights("regseg48-camvid")
    pixels = torch.from_numpy(street).permute(2, 0, 1)[None].float() / 128 - 1
    plain, sure = (
        build_model(ModelCard(card.architecture, card.labels, temperature=t), path)(pixels)
        for t in (1.0, 0.5)
    )
    assert torch.equal(plain.argmax(1), sure.argmax(1))
    assert torch.allclose(plain.softmax(1), (sure * 0.5).softmax(1), atol=1e-5)


def test_a_card_keeps_its_temperature() -> None:
    card, _ = find_weights("regseg48-camvid")
    warm = ModelCard(card.architecture, card.labels, temperature=1.25)
    assert ModelCard.from_json(warm.to_json()) == warm
    older = json.loads(warm.to_json())
    del older["temperature"]
    assert ModelCard.from_json(json.dumps(older)).temperature == 1.0
    for wrong in (0, -1, float("nan"), float("inf"), "hot"):
        with pytest.raises(WeightsError, match=r"temperature|not a model card"):
            ModelCard.from_json(json.dumps({**older, "temperature": wrong}))


def test_evaluate_draws_how_reliable_confidence_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = layouts.camvid(tmp_path / "data", 2)
    picture = tmp_path / "reliability.png"
    evaluate.main(["--data", str(root), "--reliability", str(picture)])
    assert "confidence is off by " in capsys.readouterr().out
    assert min(read_image(picture).shape[:2]) > 400
