"""TensorRT for RTX builds the whole graph as one half-precision engine, without a GPU."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fake_cuda import pretend_gpu

from regseg_core.backends import torch_tensorrt
from regseg_core.backends.base import BackendError, Building, Job
from regseg_core.backends.engine_file import EngineError, pack, read_payload
from regseg_core.backends.onnx import to_onnx
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.tensorrt import TensorRt, library, parse
from regseg_core.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS
from regseg_core.model import create_model
from regseg_core.weights import ModelCard, save_weights

SIZES = [(512, 1024), (1024, 2048), (360, 480), (720, 960), (375, 1242)]
MODELS = ("regseg48", "regseg53")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for name in MODELS:
        paths[name] = folder / f"{name}.safetensors"
        save_weights(paths[name], create_model(name, 19), ModelCard(name, CITYSCAPES))
    return paths


ours = torch.__version__.partition("+")[0]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """What pip leaves of a Torch-TensorRT of that version."""
    place = folder / version
    about = place / f"torch_tensorrt_rtx-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Name: torch-tensorrt-rtx\nVersion: {version}\n")
    monkeypatch.syspath_prepend(place)


def job(model: str, path: Path, spec: GraphSpec) -> Job:
    return Job(ModelCard(model, CITYSCAPES), path, spec, torch.device("cpu"))


#: One of them at once; all twenty engines take minutes.
BUILT = [
    pytest.param(
        model,
        size,
        batch,
        marks=pytest.mark.integration
        if (model, size, batch) == ("regseg48", (375, 1242), 1)
        else pytest.mark.slow,
        id=f"{model}-{size[0]}x{size[1]}-{batch}",
    )
    for model in MODELS
    for size in SIZES
    for batch in (1, 4)
]


@pytest.mark.parametrize(("model", "size", "batch"), BUILT)
def test_one_engine_from_bytes_to_labels(
    model: str, size: tuple[int, int], batch: int, weights: dict[str, Path]
) -> None:
    trt = library()
    spec = GraphSpec("bgr8", *size, batch=batch, precision="float16")
    onnx = to_onnx(job(model, weights[model], spec))
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = parse(trt, logger, builder, onnx)  # every operator, or an error
    layers = [network.get_layer(place) for place in range(network.num_layers)]
    kinds = Counter((layer.type, layer.get_output(0).dtype) for layer in layers)
    convolution, half = trt.LayerType.CONVOLUTION, trt.DataType.HALF
    assert [dtype for kind, dtype in kinds if kind == trt.LayerType.RESIZE] == [half]

    own = create_model(model, 19)
    assert kinds[convolution, half] == sum(isinstance(m, torch.nn.Conv2d) for m in own.modules())
    assert [kind for kind in kinds if kind[0] == convolution] == [(convolution, half)]
    for layer in layers:
        if layer.type == convolution:
            assert layer.get_input(0).dtype == half
    frames, labels = network.get_input(0), network.get_output(0)
    assert (network.num_inputs, network.num_outputs) == (1, 1)
    assert frames.dtype == labels.dtype == trt.DataType.UINT8
    assert tuple(frames.shape) == (batch, *size, 3) and tuple(labels.shape) == (batch, *size)

    engine = builder.build_serialized_network(network, builder.create_builder_config())
    assert engine.nbytes > 2 * sum(p.numel() for p in own.parameters()), "the weights are in it"


@pytest.mark.integration
def test_ids_that_are_not_counted_from_zero_are_taken_too(weights: dict[str, Path]) -> None:
    trt = library()
    spec = GraphSpec("rgba8", 64, 96, precision="float16", confidence=True)
    card = ModelCard("regseg48", CITYSCAPES_LABEL_IDS)
    this = Job(card, weights["regseg48"], spec, torch.device("cpu"))
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = parse(trt, logger, builder, to_onnx(this))
    assert {network.get_output(place).dtype for place in range(2)} == {trt.DataType.UINT8}
    assert builder.build_serialized_network(network, builder.create_builder_config()) is not None


@pytest.mark.integration
def test_float32_is_float32(weights: dict[str, Path]) -> None:
    trt = library()
    onnx = to_onnx(job("regseg48", weights["regseg48"], GraphSpec("rgb8", 64, 96)))
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = parse(trt, logger, builder, onnx)
    layers = [network.get_layer(place) for place in range(network.num_layers)]
    of_convolutions = {
        layer.get_output(0).dtype for layer in layers if layer.type == trt.LayerType.CONVOLUTION
    }
    assert of_convolutions == {trt.DataType.FLOAT}


@pytest.mark.slow
def test_targets_are_named_and_unknown_ones_refused(weights: dict[str, Path]) -> None:
    spec = GraphSpec("mono8", 64, 64, precision="float16", confidence=True)
    payload = TensorRt().payload(
        job("regseg48", weights["regseg48"], spec), Building(("sm_86", "sm_89"))
    )
    assert len(payload) > 5_000_000
    with pytest.raises(BackendError, match=r"builds for sm_75, .*, not for sm_87; a Jetson"):
        TensorRt().payload(job("regseg48", weights["regseg48"], spec), Building(("sm_87",)))


def test_an_operator_that_tensorrt_lacks_is_named() -> None:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("NotAnOperator", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    trt = library()
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    with pytest.raises(BackendError, match=r"TensorRT does not take the graph: .*NotAnOp"):
        parse(trt, logger, trt.Builder(logger), model.SerializeToString())


def test_what_an_engine_is_bound_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, Path]
) -> None:
    made_by = TensorRt().made_by(torch.device("cpu"))
    assert made_by["torch_tensorrt"] == "none"
    assert made_by["library"] == f"tensorrt_rtx {library().__version__}"
    assert made_by["device"] == made_by["target"] == "any", "one file for all its GPUs"

    install(tmp_path, monkeypatch, ours)
    with_it = TensorRt().made_by(torch.device("cpu"))
    assert with_it == made_by | {"torch_tensorrt": ours}
    this = job("regseg48", weights["regseg48"], GraphSpec("rgb8", 64, 96))
    carried = tmp_path / "carried.engine"
    carried.write_bytes(pack(this.spec.identity(this.network, made_by), b"engine"))
    here = this.spec.identity(this.network, with_it)
    assert read_payload(carried, here, carried=True) == b"engine"
    with pytest.raises(EngineError, match=r"torch_tensorrt 'none', here '2"):
        read_payload(carried, here)


@pytest.mark.integration
def test_a_torch_tensorrt_for_another_torch_is_refused_with_the_versions_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, Path]
) -> None:
    pretend_gpu(monkeypatch, "8.6", "NVIDIA GeForce RTX 3060")
    torch_tensorrt.check_fits("tensorrt_rtx")  # none is no mistake
    install(tmp_path, monkeypatch, ours)
    torch_tensorrt.check_fits("tensorrt_rtx")
    install(tmp_path, monkeypatch, "2.99.1")
    torch_tensorrt.check_fits("tensorrt")  # is not built by that one
    this = job("regseg48", weights["regseg48"], GraphSpec("rgb8", 64, 96))
    minor = ".".join(ours.split(".")[:2])
    reason = (
        rf"torch-tensorrt-rtx 2\.99\.1 does not fit torch {ours}: install"
        rf" torch-tensorrt-rtx=={minor}\.\* or torch==2\.99\.\*, or uninstall torch-tensorrt-rtx"
    )
    TensorRt().check(torch.device("cuda"))  # an engine that was carried here needs none
    with pytest.raises(BackendError, match=reason):
        TensorRt().payload(replace(this, device=torch.device("cuda")), Building())
    assert len(TensorRt().payload(this, Building())) > 5_000_000, "without a GPU it is not needed"
