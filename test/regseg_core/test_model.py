"""The network equals the published one; every variant works at every size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from formula import formula_image, formula_weights
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from regseg_core.model import create_model, model_names
from regseg_core.model.registry import NETWORKS
from regseg_core.model.regseg.blocks import mean_pool_2x2
from regseg_core.model.regseg.network import RegSeg
from regseg_core.model.regseg.variants import VARIANTS
from regseg_core.weights import load_weights

REFERENCE = (
    "exp48_decoder26_19_256x512",
    "exp48_decoder26_11_360x480",
    "exp43_decoder14_19_128x256",
)


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("entry", REFERENCE)
def test_equals_the_published_network(entry: str, reference: Path) -> None:
    wanted = json.loads((reference / "regseg_reference.json").read_text())[entry]
    arrays = np.load(reference / "regseg_reference.npz")
    model = create_model(wanted["name"], wanted["num_classes"]).double().eval()
    assert isinstance(model, RegSeg)
    load_weights(model, formula_weights(wanted["state_dict"]))
    image = formula_image(wanted["height"], wanted["width"])
    with torch.inference_mode():
        low, full = model.forward_low(image), model(image)
        deep = model.body(model.stem(image)).sixteenth.mean(dim=(2, 3))

    assert parameters(model) == wanted["parameters"]
    assert np.abs(low.numpy() - arrays[f"{entry}/logits_low"]).max() < 1e-6
    assert np.abs(full[..., ::8, ::8].numpy() - arrays[f"{entry}/logits_full_sub"]).max() < 1e-6
    assert np.abs(deep.numpy() - arrays[f"{entry}/feature16_mean"]).max() < 1e-6
    assert np.array_equal(full.argmax(1).numpy(), arrays[f"{entry}/labels"])


def test_reference_entries_are_all_tested(reference: Path) -> None:
    assert set(json.loads((reference / "regseg_reference.json").read_text())) == set(REFERENCE)


@pytest.mark.parametrize(
    ("name", "count", "giga_madds"), [("regseg48", 3_334_951, 38.35), ("regseg53", 6_131_579, 86.5)]
)
def test_size_and_cost_of_the_paper(name: str, count: int, giga_madds: float) -> None:
    with torch.device("meta"):
        model = create_model(name, 19).eval()
        image = torch.empty(1, 3, 1024, 2048)
    with FlopCounterMode(display=False) as counter:
        model(image)
    by_operator = counter.get_flop_counts()["Global"]
    convolutions = sum(n for op, n in by_operator.items() if "convolution" in str(op))

    assert parameters(model) == count
    assert convolutions / 2 / 1e9 == pytest.approx(giga_madds, abs=0.05)


def test_names_are_the_published_ones_and_ours() -> None:
    names = model_names()
    assert names[:2] == ["regseg48", "regseg53"]
    assert len(names) == len(set(names)) and len(VARIANTS) == 11 * 6
    assert {"exp48_decoder26", "exp53_decoder29", "regnety600mf_decoder4"} <= set(VARIANTS)
    assert names[-66:] == list(VARIANTS) and names[:-66] == list(NETWORKS)


@pytest.mark.parametrize("name", ["regseg48", "regseg53", *VARIANTS])
def test_every_variant_takes_odd_sizes_and_trains(name: str) -> None:
    model = create_model(name, 5)
    terms = model.forward_training(torch.randn(2, 3, 33, 71))
    torch.stack([term.weight * term.logits.square().mean() for term in terms]).sum().backward()  # type: ignore[no-untyped-call]

    assert all(term.logits.shape == (2, 5, 33, 71) for term in terms)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 6), (4, 7), (5, 7), (1, 1)])
def test_pooling_equals_ceil_mode(height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    torch.testing.assert_close(mean_pool_2x2(x), F.avg_pool2d(x, 2, 2, ceil_mode=True))


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'regseg48'.*exp43.*decoder14"):
        create_model("regseg4", 19)


def test_shapes_that_do_not_fit_are_refused() -> None:
    model = create_model("regseg48", 2).eval()
    for shape in ((1, 3, 31, 64), (1, 4, 64, 64), (3, 64, 64)):
        with pytest.raises(ValueError, match="N x 3 x H x W"):
            model(torch.zeros(shape))
    with pytest.raises(ValueError, match="at least 1 class"):
        create_model("regseg48", 0)
