"""Every network through the compilers: one graph, whole engines, PyTorch's labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from formula import NETWORK_ENTRIES, formula_weights
from torch import nn

from regseg_core.backends.base import Building, Job
from regseg_core.backends.eager import Eager
from regseg_core.backends.onnx import to_onnx
from regseg_core.backends.openvino import OpenVino, compiled, convert
from regseg_core.backends.rounding import Activations, round_to_bytes, roundings
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.tensorrt import library, parse
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.evaluation.calibrating import measure_ranges
from regseg_core.labels import CITYSCAPES
from regseg_core.model import create_model
from regseg_core.model.registry import NETWORKS
from regseg_core.weights import ModelCard, load_weights, save_weights

pytestmark = pytest.mark.slow


@pytest.fixture(params=list(NETWORKS))
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    """Odd sizes, two frames, and weights that give several classes where the reference has some."""
    name = request.param
    network = create_model(name, 19)
    for entry in NETWORK_ENTRIES.values():
        if entry["name"] == name:
            shapes = entry["state_dict"] + entry["state_dict_training_only"]
            load_weights(network, formula_weights(shapes))
    card = ModelCard(name, CITYSCAPES, normalization=network.normalization)
    save_weights(tmp_path / "weights", network, card)
    spec = GraphSpec("rgb8", 97, 131, batch=2, precision="float32", confidence=True)
    return Job(card, tmp_path / "weights.safetensors", spec, torch.device("cpu"))


def test_openvino_gives_pytorchs_labels(job: Job) -> None:
    streets = SyntheticStreets(2, 131, 97)
    frames = torch.stack([torch.from_numpy(streets[index][0]) for index in range(2)])
    exact, exact_confidence = Eager().build(job)(frames)
    backend = OpenVino()
    labels, confidence = backend.load(backend.payload(job, Building()), job)(frames)
    assert (labels == exact).float().mean() > 0.999
    assert (confidence.int() - exact_confidence.int()).abs().float().mean() < 0.1
    alone = torch.cat([Eager().build(job)(frame[None])[0] for frame in frames])
    assert (alone == exact).float().mean() > 0.999


def is_rounded(node: Any, place: int) -> bool:
    """Whether bytes come in there; what joins them, or takes the greatest, gives bytes, too."""
    source = node.input_value(place).get_node()
    if source.get_type_name() in ("Concat", "MaxPool"):
        return all(is_rounded(source, part) for part in range(source.get_input_size()))
    return bool(source.get_type_name() == "FakeQuantize")


@pytest.mark.parametrize("job", ["ddrnet23_slim", "pidnet_s", "sfnet_resnet18"], indirect=True)
def test_every_layer_is_in_int8_where_maps_have_several_readers_of_a_kind(job: Job) -> None:
    streets = SyntheticStreets(6, 131, 97)
    spec = replace(job.spec, precision="int8", batch=1, confidence=False)
    calibration = measure_ranges(
        replace(job, spec=spec), [streets[index][0] for index in range(4)], "streets"
    )
    other = replace(spec, height=90, width=140, batch=2)  # ranges are of any frames
    whole = replace(job, spec=other, calibration=calibration)
    model, network = convert(whole)
    layers = Activations(model, network).layers
    round_to_bytes(model, network, calibration)
    assert len(list(roundings(model))) == len(calibration.ranges)
    assert set(layers) == {n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    for layer, node in layers.items():
        # NNCF leaves pooled maps of a few pixels as they are.
        if not layer.startswith("head.ppm.stages"):
            assert is_rounded(node, 0) and is_rounded(node, 1), layer
    larger = SyntheticStreets(2, 140, 90)
    frames = torch.stack([torch.from_numpy(larger[index][0]) for index in range(2)])
    [labels] = compiled(model, other)(frames)
    [exact] = Eager().build(replace(job, spec=replace(other, precision="float32")))(frames)
    assert (labels == exact).float().mean() > 0.9


def test_tensorrt_builds_one_engine_of_it(job: Job) -> None:
    trt = library()
    half = Job(job.card, job.path, GraphSpec("bgr8", 97, 131, precision="float16"), job.device)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = parse(trt, logger, builder, to_onnx(half))  # every operator, or an error
    layers = [network.get_layer(place) for place in range(network.num_layers)]
    convolutions = [layer for layer in layers if layer.type == trt.LayerType.CONVOLUTION]
    assert {layer.get_output(0).dtype for layer in convolutions} == {trt.DataType.HALF}
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    assert engine is not None and engine.nbytes > 1e6
