"""The heads that only training uses, against the published networks'."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from formula import formula_image, formula_weights
from torch import Tensor, nn

from regseg_core.model import create_model
from regseg_core.weights import load_weights

FILE = Path(__file__).parents[3] / "shared/reference/networks_reference.json"
ENTRIES = json.loads(FILE.read_text()) if FILE.is_file() else {}

#: Network, its head in the reference, our module of it.
HEADS = [
    ("fcn_resnet50", "aux", "aux_classifier"),
    ("pspnet50", "aux", "aux"),
    ("deeplabv3_resnet50", "aux", "aux_classifier"),
]

#: What each network's terms are compared with, and their weights as published.
TERMS: dict[str, list[tuple[str, float]]] = {
    "ddrnet23": [("classes", 1), ("classes", 0.4)],
    "ddrnet23_slim": [("classes", 1), ("classes", 0.4)],
    "pidnet_s": [("classes", 1), ("classes", 0.4), ("boundary", 20), ("classes", 1)],
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_have_the_published_weights(name: str) -> None:
    model = create_model(name, 3)
    terms = model.forward_training(torch.zeros(2, 3, model.min_size, model.min_size))
    assert [(term.target, term.weight) for term in terms] == TERMS[name]


@pytest.mark.skipif(not ENTRIES, reason="the reference outputs are not here")
@pytest.mark.parametrize(("network", "head", "module"), HEADS)
def test_a_training_head_equals_the_published_one(network: str, head: str, module: str) -> None:
    entry = f"{network}_19_97x131"
    wanted = ENTRIES[entry]
    with torch.device("meta"):
        model = create_model(network, 19)
    model = model.to_empty(device="cpu").double().eval()
    load_weights(model, formula_weights(wanted["state_dict"] + wanted["state_dict_training_only"]))
    logits: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        logits.append(output)

    model.get_submodule(module).register_forward_hook(keep)
    with torch.inference_mode():
        model.forward_training(formula_image(wanted["height"], wanted["width"]))
    expected = np.load(FILE.with_suffix(".npz"))[f"{entry}/aux/{head}_sub"]
    (ours,) = logits
    assert np.abs(ours[:, :, ::4, ::4].numpy() - expected).max() < 1e-6
