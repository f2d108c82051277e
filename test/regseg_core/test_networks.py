"""One battery for every network: what the graph, the trainer and the weights ask of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from formula import formula_image, formula_weights
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from regseg_core.model import SegmentationNetwork, create_model, fold_norms
from regseg_core.model.registry import NETWORKS
from regseg_core.training.config import LossConfig
from regseg_core.training.edges import EDGE_LOSSES
from regseg_core.training.losses import PixelLoss
from regseg_core.weights import load_weights, named_tensors

FILE = Path(__file__).parents[3] / "shared/reference/networks_reference.json"
ENTRIES = json.loads(FILE.read_text()) if FILE.is_file() else {}
REFERENCES = sorted(entry for entry in ENTRIES if ENTRIES[entry]["name"] in NETWORKS)
#: Two pixels at 1/64: gradients through a normalisation of one pixel each of two images are huge.
SMALL = (64, 128)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def fresh(name: str, classes: int = 5) -> SegmentationNetwork:
    torch.manual_seed(1)
    return create_model(name, classes)


def with_lively_norms(model: SegmentationNetwork) -> SegmentationNetwork:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                values.data.copy_(torch.rand_like(values) + 0.2)
    return model


@pytest.mark.parametrize("entry", REFERENCES)
def test_equals_the_published_network(entry: str) -> None:
    wanted = ENTRIES[entry]
    arrays = np.load(FILE.with_suffix(".npz"))
    with torch.device("meta"):
        model = create_model(wanted["name"], wanted["num_classes"])
    model = model.to_empty(device="cpu").double().eval()
    assert parameters(model) == wanted["parameters_training"]
    load_weights(
        model,
        formula_weights(
            wanted["state_dict"] + wanted["state_dict_training_only"] + wanted["state_dict_unused"]
        ),
    )
    model.drop_training_heads()
    assert parameters(model) == wanted["parameters"]
    with torch.inference_mode():
        image = formula_image(wanted["height"], wanted["width"])
        low, full = model.forward_low(image), model(image)
    expected = arrays[f"{entry}/logits_low"]
    tolerance = 2e-5 if wanted["name"].startswith("stdc") else 1e-6
    assert np.all(np.abs(low.numpy() - expected) < tolerance * np.maximum(1, np.abs(expected)))
    expected = arrays[f"{entry}/logits_full_sub"]
    assert np.abs(full[..., ::8, ::8].numpy() - expected).max() < 2 * tolerance
    assert (full.argmax(1).numpy() == arrays[f"{entry}/labels"]).mean() > 0.9999


@pytest.mark.parametrize("entry", [entry for entry in REFERENCES if "128x256" in entry])
def test_costs_what_the_published_network_does(entry: str) -> None:
    wanted = ENTRIES[entry]
    with torch.device("meta"):
        model = create_model(wanted["name"], wanted["num_classes"]).eval()
        with FlopCounterMode(display=False) as counter:
            model.forward_low(torch.empty(1, 3, 1024, 2048))
    by_operator = counter.get_flop_counts()["Global"]
    convolutions = sum(n for op, n in by_operator.items() if "convolution" in str(op))
    assert convolutions == 2 * wanted["conv_macs_1024x2048"]


@pytest.mark.parametrize("name", NETWORKS)
def test_takes_odd_sizes_and_trains_every_parameter(name: str) -> None:
    model = fresh(name)
    least = model.min_size
    truth = torch.randint(0, 5, (2, least + 1, least + 38))
    pixels = PixelLoss(LossConfig())
    terms = model.forward_training(torch.randn(2, 3, *truth.shape[1:]))
    losses = []
    for term in terms:
        loss = pixels if term.target == "classes" else EDGE_LOSSES[term.target]
        losses.append(term.weight * loss(term.logits, truth))
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]

    assert terms[0].target == "classes" and all(term.weight > 0 for term in terms)
    for term in terms:
        channels = 5 if term.target == "classes" else 1
        assert term.logits.shape == (2, channels, *truth.shape[1:])
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step_lowers_its_losses(name: str) -> None:
    model = fresh(name)
    generator = torch.Generator().manual_seed(2)
    truth = torch.zeros(2, *SMALL, dtype=torch.long)
    truth[:, 20:50, 30:70] = 1
    images = torch.rand(2, 3, *SMALL, generator=generator) + truth[:, None]
    pixels = PixelLoss(LossConfig())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step() -> float:
        torch.manual_seed(3)  # the same dropout
        total = torch.zeros(())
        for term in model.forward_training(images):
            loss = pixels if term.target == "classes" else EDGE_LOSSES[term.target]
            total = total + term.weight * loss(term.logits, truth)
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(total.detach())

    # One step of a deep network may go uphill here: its norms see few values, and gradients are
    # steep.
    first = step()
    assert first > min(step(), step())


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_the_normalisation_changes_nothing(name: str) -> None:
    model = with_lively_norms(fresh(name)).double().eval()
    images = torch.randn(2, 3, 65, 70, dtype=torch.float64)
    with torch.no_grad():
        expected = model.forward_low(images)
        before = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        fold_norms(model)
        after = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        assert after < before / 2
        scale = expected.abs().max()
        assert (model.forward_low(images) - expected).abs().max() < 1e-9 * scale


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_equals_its_frames(name: str) -> None:
    model = with_lively_norms(fresh(name)).double().eval()
    images = torch.randn(2, 3, 61, 83, dtype=torch.float64)
    with torch.no_grad():
        both = model.forward_low(images)
        each = torch.cat([model.forward_low(image[None]) for image in images])
    assert (both - each).abs().max() < 1e-9 * both.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
def test_says_what_the_others_ask_it(name: str) -> None:
    with torch.device("meta"):
        model, other = create_model(name, 4), create_model(name, 7)
    state = other.state_dict()
    differ = {n for n, value in model.state_dict().items() if value.shape != state[n].shape}
    assert differ == set(model.classifier_names) and model.num_classes == 4
    heads = tuple(f"{head}." for head in model.training_heads)
    model.drop_training_heads()
    assert not any(n.startswith(heads) for n in model.state_dict()) or not heads
    for shape in ((2, 3, model.min_size - 1, 99), (2, 4, 99, 99), (3, 99, 99)):
        with pytest.raises(ValueError, match="at least"):
            model(torch.zeros(shape))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_least_size_and_a_large_one_give_logits(name: str) -> None:
    model = fresh(name, 3).eval()
    with torch.inference_mode():
        for height, width in ((model.min_size, model.min_size), (model.min_size, 301)):
            logits: Tensor = model(torch.zeros(1, 3, height, width))
            assert logits.shape == (1, 3, height, width) and logits.isfinite().all()


@pytest.mark.parametrize("entry", [entry for entry in REFERENCES if "128x256" in entry])
def test_published_files_load_however_they_were_wrapped(entry: str) -> None:
    wanted = ENTRIES[entry]
    model = fresh(wanted["name"], 19)
    shapes = wanted["state_dict"] + wanted["state_dict_unused"]
    tensors = formula_weights(shapes)
    tensors |= {alias: tensors[name] for alias, name in wanted.get("aliases", {}).items()}
    wrapped = {f"model.{n}": t for n, t in tensors.items()} | {"loss.weight": torch.ones(19)}
    assert set(named_tensors({"state_dict": wrapped})) == set(tensors)
    heads = tuple(f"{head}." for head in model.training_heads)
    left = load_weights(model, tensors)
    assert {n.startswith(heads) for n in left} <= {True}


def test_every_network_of_the_reference_is_here() -> None:
    assert not ENTRIES or {entry["name"] for entry in ENTRIES.values()} <= set(NETWORKS)
