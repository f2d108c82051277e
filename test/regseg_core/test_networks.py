"""One battery for every network: what the graph, the trainer and the weights ask of it."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch
from formula import NETWORK_ENTRIES, NETWORKS_FILE, formula_image, formula_weights
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from regseg_core.model import SegmentationNetwork, create_model, fold_norms
from regseg_core.model.layers import resize_like
from regseg_core.model.registry import NETWORKS
from regseg_core.model.regseg.blocks import DilatedConv
from regseg_core.tensor_files import named_tensors
from regseg_core.training.config import LossConfig
from regseg_core.training.losses import PixelLoss, weighted_loss
from regseg_core.weights import load_weights

NAMES = list(dict.fromkeys(entry["name"] for entry in NETWORK_ENTRIES.values()))

#: Training heads by the reference's names, and the modules that give their logits.
HEADS: dict[str, dict[str, str]] = {
    "fcn_resnet50": {"aux": "aux_classifier"},
    "pspnet50": {"aux": "aux"},
    "deeplabv3_resnet50": {"aux": "aux_classifier"},
    "bisenetv2": {name: name for name in ("aux2", "aux3", "aux4", "aux5_4")},
    "stdc1_seg": {"out16": "conv_out16", "out32": "conv_out32", "sp8": "conv_out_sp8"},
    "stdc2_seg": {"out16": "conv_out16", "out32": "conv_out32", "sp8": "conv_out_sp8"},
    "ddrnet23": {"extra": "seghead_extra"},
    "ddrnet23_slim": {"extra": "seghead_extra"},
    "sfnet_resnet18": {f"dsn{level}": f"head.dsn.{level}" for level in range(3)},
    "pidnet_s": {"p": "seghead_p", "d": "seghead_d"},
}

#: What terms beside the first are compared with, and their weights as published.
TERMS: dict[str, list[tuple[str, float]]] = {
    "fcn_resnet50": [("classes", 0.5)],
    "pspnet50": [("classes", 0.4)],
    "deeplabv3_resnet50": [("classes", 0.5)],
    "bisenetv2": 4 * [("classes", 1.0)],
    "stdc1_seg": [("classes", 1.0), ("classes", 1.0), ("detail", 1.0)],
    "stdc2_seg": [("classes", 1.0), ("classes", 1.0), ("detail", 1.0)],
    "ddrnet23": [("classes", 0.4)],
    "ddrnet23_slim": [("classes", 0.4)],
    "sfnet_resnet18": 3 * [("classes", 1.0)],
    "pidnet_s": [("classes", 0.4), ("boundary", 20.0), ("classes", 1.0)],
}


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def error(ours: Tensor, expected: npt.NDArray[np.float32]) -> float:
    """Relative where the expected value is above 1."""
    return float((np.abs(ours.numpy() - expected) / np.maximum(1, np.abs(expected))).max())


def fresh(name: str, classes: int = 5) -> SegmentationNetwork:
    torch.manual_seed(1)
    return create_model(name, classes)


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_published_network(name: str) -> None:
    entries = {key: wanted for key, wanted in NETWORK_ENTRIES.items() if wanted["name"] == name}
    first, arrays = next(iter(entries.values())), np.load(NETWORKS_FILE.with_suffix(".npz"))
    with torch.device("meta"):
        model = create_model(name, first["num_classes"])
    model = model.to_empty(device="cpu").double().eval()
    shapes = first["state_dict"] + first["state_dict_training_only"]
    named = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert not {*named} - {*dict(shapes)} - {key for key in named if key.endswith("_tracked")}
    assert dict(shapes).items() <= named.items()
    assert parameters(model) == first["parameters_training"]
    load_weights(model, formula_weights(shapes + first["state_dict_unused"]))
    heads: dict[str, Tensor] = {}

    def keep(head: str, _: nn.Module, __: object, output: Tensor) -> None:
        heads[head] = output

    hooks = [
        model.get_submodule(path).register_forward_hook(partial(keep, head))
        for head, path in HEADS.get(name, {}).items()
    ]
    smallest = min(entries, key=lambda key: entries[key]["height"])
    with torch.inference_mode():
        model.forward_training(
            formula_image(entries[smallest]["height"], entries[smallest]["width"])
        )
    for hook in hooks:
        hook.remove()
    assert set(heads) == set(first.get("aux_low_size", {}))
    for head, logits in heads.items():
        assert error(logits[..., ::4, ::4], arrays[f"{smallest}/aux/{head}_sub"]) < 1e-6, head

    model.drop_training_heads()
    assert parameters(model) == first["parameters"]
    for key, wanted in entries.items():
        image = formula_image(wanted["height"], wanted["width"])
        with torch.inference_mode():
            low = model.forward_low(image)
            full = resize_like(low, image)
        assert error(low, arrays[f"{key}/logits_low"]) < 1e-6
        assert error(full[..., ::8, ::8], arrays[f"{key}/logits_full_sub"]) < 1e-6
        assert np.array_equal(full.argmax(1).numpy(), arrays[f"{key}/labels"])


@pytest.mark.parametrize("name", NAMES)
def test_costs_what_the_published_network_does(name: str) -> None:
    wanted = next(entry for entry in NETWORK_ENTRIES.values() if entry["name"] == name)
    with torch.device("meta"):
        model = create_model(name, wanted["num_classes"]).eval()
        with FlopCounterMode(display=False) as counter:
            model.forward_low(torch.empty(1, 3, 1024, 2048))
    by_operator = counter.get_flop_counts()["Global"]
    convolutions = sum(n for op, n in by_operator.items() if "convolution" in str(op))
    assert convolutions == 2 * wanted["conv_macs_1024x2048"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step_reaches_every_parameter_and_lowers_the_losses(name: str) -> None:
    model = fresh(name)
    truth = torch.zeros(2, max(63, model.min_size), 130, dtype=torch.long)
    truth[:, 20:50, 30:70] = 1
    images = torch.rand(2, 3, *truth.shape[1:]) + truth[:, None]
    pixels = PixelLoss(LossConfig())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step() -> float:
        torch.manual_seed(3)  # the same dropout
        terms = model.forward_training(images)
        others = [(term.target, term.weight) for term in terms[1:]]
        assert (terms[0].target, terms[0].weight) == ("classes", 1.0)
        assert others == TERMS.get(name, [])
        for term in terms:
            channels = 5 if term.target == "classes" else 1
            assert term.logits.shape == (2, channels, *truth.shape[1:])
        total = torch.stack([weighted_loss(term, truth, pixels) for term in terms]).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(total.detach())

    first, second = step(), step()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    # One step of a deep network may go uphill on maps of few pixels.
    assert first > second or first > step()


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_changes_nothing_and_a_batch_equals_its_frames(name: str) -> None:
    model = fresh(name).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                values.data.copy_(torch.rand_like(values) + 0.2)
    images = torch.randn(2, 3, max(33, model.min_size), 71, dtype=torch.float64)
    before = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    with torch.no_grad():
        expected = model.forward_low(images)
        fold_norms(model)
        unfolded = norms_behind_convolutions(model)
        each = torch.cat([model.forward_low(image[None]) for image in images])
    assert (each - expected).abs().max() < 1e-9 * expected.abs().max()
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) < before / 2
    assert not unfolded


def norms_behind_convolutions(model: SegmentationNetwork) -> list[str]:
    """Filled when it runs."""
    found: list[str] = []
    convolved: list[torch.Tensor] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | DilatedConv):
            module.register_forward_hook(lambda _, __, output: convolved.append(output))
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(
                lambda _, given, name=name: (
                    found.append(name) if any(given[0] is one for one in convolved) else None
                )
            )
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_says_what_the_others_ask_it(name: str) -> None:
    with torch.device("meta"):
        model, other = create_model(name, 4), create_model(name, 7)
        state = other.state_dict()
        differ = {n for n, value in model.state_dict().items() if value.shape != state[n].shape}
        assert differ == set(model.classifier_names) and model.num_classes == 4
        heads = tuple(f"{head}." for head in model.training_heads)
        model.eval().drop_training_heads()
        assert not any(n.startswith(heads) for n in model.state_dict())
        for height, width in ((model.min_size, model.min_size), (model.min_size, 301), (480, 641)):
            assert model(torch.empty(1, 3, height, width)).shape == (1, 4, height, width)
        for shape in ((2, 3, model.min_size - 1, 99), (2, 4, 99, 99), (3, 99, 99)):
            with pytest.raises(ValueError, match="at least"):
                model(torch.empty(shape))


@pytest.mark.parametrize("name", NAMES)
def test_published_files_load_however_they_were_wrapped(name: str) -> None:
    wanted = next(entry for entry in NETWORK_ENTRIES.values() if entry["name"] == name)
    shapes = wanted["state_dict"] + wanted["state_dict_unused"]
    tensors = {n: torch.zeros(shape) for n, shape in shapes}
    tensors |= {alias: tensors[n] for alias, n in wanted.get("aliases", {}).items()}
    wrapped = {f"model.{n}": t for n, t in tensors.items()} | {"loss.weight": torch.ones(19)}
    for outer in ("", "module.", "network.module."):
        around = {f"{outer}{n}": t for n, t in wrapped.items()}
        assert set(named_tensors({"state_dict": around})) == set(tensors)
    with torch.device("meta"):
        model = create_model(name, wanted["num_classes"])
    left = load_weights(model.to_empty(device="cpu"), wrapped)
    without_counters = {
        n for n, _ in wanted["state_dict_training_only"] if not n.endswith("num_batches_tracked")
    }
    assert set(left) == without_counters


@pytest.mark.usefixtures("reference")
def test_every_network_of_the_reference_is_here() -> None:
    assert NAMES and set(NAMES) <= set(NETWORKS)
    assert set(HEADS) == set(TERMS) == {n for n in NETWORKS if fresh_heads(n)}


def fresh_heads(name: str) -> tuple[str, ...]:
    with torch.device("meta"):
        return create_model(name, 2).training_heads
