"""Torch-TensorRT takes the whole graph as one engine. `make test-tensorrt` runs this."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch

from regseg_core.backends.base import Job
from regseg_core.backends.cache import EngineCache
from regseg_core.backends.child import Compilers
from regseg_core.backends.engine_file import pack
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.tensorrt import TensorRt, library
from regseg_core.backends.torch_tensorrt import exported, settings
from regseg_core.labels import CITYSCAPES
from regseg_core.model import create_model
from regseg_core.weights import ModelCard, save_weights

torch_tensorrt = pytest.importorskip("torch_tensorrt", reason="make test-tensorrt has it")

SIZES = [(512, 1024), (1024, 2048), (360, 480), (720, 960), (375, 1242)]
MODELS = ("regseg48", "regseg53")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    for name in MODELS:
        card = ModelCard(name, CITYSCAPES)
        save_weights(folder / f"{name}.safetensors", create_model(name, 19), card)
    return {name: folder / f"{name}.safetensors" for name in MODELS}


def job(model: str, path: Path, spec: GraphSpec) -> Job:
    return Job(ModelCard(model, CITYSCAPES), path, spec, torch.device("cpu"))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("model", MODELS)
def test_the_partitioner_makes_one_engine_of_all_operators(
    model: str, size: tuple[int, int], batch: int, weights: dict[str, Path], tmp_path: Path
) -> None:
    spec = GraphSpec("bgr8", *size, batch=batch, confidence=True, precision="float16")
    this = job(model, weights[model], spec)
    program, frames = exported(this)
    report = tmp_path / "dryrun.txt"
    given = {k: v for k, v in settings(this).items() if "binding" not in k}
    given["require_full_compilation"] = False  # the report says what would be left out
    torch_tensorrt.dynamo.compile(program, arg_inputs=(frames,), dryrun=str(report), **given)
    text = report.read_text()
    total, supported, coverage = re.search(  # type: ignore[union-attr]
        r"(\d+) Total Operators, of which (\d+) operators are supported, ([\d.]+)% coverage", text
    ).groups()
    print(f"{model} {size} batch {batch}: {supported} of {total} operators, {coverage} %")
    assert total == supported and float(coverage) == 100
    assert "which generates 1 TRT engine(s)" in text and text.count("TRT Engine #") == 1
    assert "set to run in Torch" not in text


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("model", MODELS)
def test_the_converted_networks_convolutions_are_half(
    model: str,
    size: tuple[int, int],
    batch: int,
    weights: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch_tensorrt.dynamo.conversion import _TRTInterpreter

    trt = library()
    found: list[tuple[Counter[tuple[object, object]], object]] = []

    class SeenError(Exception):
        """The network is there; what follows needs a GPU."""

    def look(self: object, *_: object, **__: object) -> None:
        network = self.ctx.net  # type: ignore[attr-defined]
        layers = [network.get_layer(place) for place in range(network.num_layers)]
        kinds = Counter((layer.type, layer.get_output(0).dtype) for layer in layers)
        found.append((kinds, network.get_input(0).dtype))
        raise SeenError

    monkeypatch.setattr(_TRTInterpreter.TRTInterpreter, "_populate_trt_builder_config", look)
    spec = GraphSpec("rgb8", *size, batch=batch, precision="float16")
    this = job(model, weights[model], spec)
    program, frames = exported(this)
    with pytest.raises((SeenError, RuntimeError)):
        torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
            program, arg_inputs=(frames,), **settings(this)
        )
    [(kinds, input_dtype)] = found
    convolutions = {kind: n for kind, n in kinds.items() if kind[0] == trt.LayerType.CONVOLUTION}
    print(model, convolutions)
    own = sum(isinstance(m, torch.nn.Conv2d) for m in create_model(model, 19).modules())
    assert convolutions == {(trt.LayerType.CONVOLUTION, trt.DataType.HALF): own}
    assert input_dtype == trt.DataType.UINT8


def test_building_twice_hits_the_cache_and_another_version_is_rebuilt(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = TensorRt()
    spec = GraphSpec("bgr8", 64, 96, precision="float16")
    this, cache = job("regseg48", weights["regseg48"], spec), EngineCache(tmp_path)

    def kept() -> bytes:
        build = partial(Compilers().payload, backend.name, this)
        return cache.open(this.identity(backend), build, bytes)

    engine = kept()
    [entry] = cache.entries()
    written = entry.stat().st_mtime_ns
    assert kept() == engine and entry.stat().st_mtime_ns == written

    made_by = backend.made_by(this.device)
    older = spec.identity(this.network, made_by | {"library": "tensorrt_rtx 1.0.0"})
    entry.write_bytes(pack(older, engine))
    again = kept()
    assert len(again) > 5_000_000 and entry.read_bytes().startswith(b"regseg engine 1\n")
    assert entry.stat().st_mtime_ns != written
    assert b"tensorrt_rtx 1.0.0" not in entry.read_bytes()[:2000]
