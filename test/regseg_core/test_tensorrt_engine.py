"""Engines of TensorRTs of several versions, as stand-ins load and run them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fake_tensorrt import FRAMES, FakeTensorRt, payload
from jobs import job

from regseg_core.backends.base import BackendError
from regseg_core.backends.cache import EngineCache
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.tensorrt_engine import Engine

LABELS = ["labels", "output", "uint8"]
SPEC = GraphSpec("rgb8", 4, 6, precision="float16")
OURS = payload(FRAMES, LABELS)


def test_an_engine_without_our_names_is_read_by_the_order_of_its_tensors(
    stream: SimpleNamespace,
) -> None:
    """Torch-TensorRT 2.6 to 2.13 calls the outputs output0 and output1."""
    trt = FakeTensorRt("tensorrt", "10.15")
    data = payload(
        ["arg0", *FRAMES[1:]], ["output0", "output", "int32"], ["output1", "output", "int32"]
    )
    spec = GraphSpec("rgb8", 4, 6, precision="float16", confidence=True)
    engine = Engine(trt, data, job(spec))
    frames = torch.zeros(spec.shape, dtype=torch.uint8)
    planes = engine(frames)
    assert [(p.shape, p.dtype) for p in planes] == [((1, 4, 6), torch.uint8)] * 2
    (context,) = trt.engines[0].contexts
    assert list(context.given) == ["arg0", "output0", "output1"]
    assert context.given["arg0"] == frames.data_ptr()


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ([FRAMES], r"outputs \[\]; expected one input, and labels"),
        ([FRAMES, ["labels", "output", "half"]], "labels as .*HALF"),
        ([["frames", "input", "half", [1, 4, 6, 3]], LABELS], "as .*HALF, not .* as bytes"),
        ([["frames", "input", "uint8", [1, 8, 6, 3]], LABELS], r"takes \(1, 8, 6, 3\)"),
    ],
)
def test_an_engine_of_something_else_is_refused(tensors: list[Any], reason: str) -> None:
    with pytest.raises(BackendError, match=reason):
        Engine(FakeTensorRt("tensorrt", "10.15"), payload(*tensors), job(SPEC))


def test_each_stream_has_a_context_of_its_own(stream: SimpleNamespace) -> None:
    trt = FakeTensorRt("tensorrt", "10.15")
    engine = Engine(trt, OURS, job(SPEC))
    frames = torch.zeros(SPEC.shape, dtype=torch.uint8)
    for handle in (7, 8, 7):
        stream.cuda_stream = handle
        engine(frames)
    assert len(trt.engines[0].contexts) == 2


def test_tensorrt_for_rtx_says_whether_it_can_be_recorded(stream: SimpleNamespace) -> None:
    assert Engine(FakeTensorRt("tensorrt", "10.15"), OURS, job(SPEC)).can_be_recorded()
    engine = Engine(FakeTensorRt("tensorrt_rtx", "1.6.1"), OURS, job(SPEC))
    assert engine.can_be_recorded()  # on stream 7
    stream.cuda_stream = 8
    assert not engine.can_be_recorded()


def test_kernels_that_tensorrt_for_rtx_compiles_are_kept_beside_the_engine(
    tmp_path: Path, stream: SimpleNamespace
) -> None:
    trt = FakeTensorRt("tensorrt_rtx", "1.6.1")
    this = job(SPEC)
    identity = this.spec.identity(this.network, {"backend": "tensorrt"})
    beside = EngineCache(tmp_path).beside(identity)
    frames = torch.zeros(SPEC.shape, dtype=torch.uint8)
    first = Engine(trt, OURS, this, beside)
    assert not list(tmp_path.iterdir())
    first(frames)
    assert beside is not None and beside.read() == b"kernels"
    again = Engine(trt, OURS, this, beside)
    again(frames)
    config: Any = trt.engines[1].contexts[0].config
    assert config.cache.kernels == b"kernels"
    other = this.spec.identity(this.network, {"backend": "tensorrt", "library": "newer"})
    foreign = EngineCache(tmp_path).beside(other)
    assert foreign is not None and foreign.read() is None
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert beside.read() is None, "damaged"


def test_an_engine_that_does_not_load_is_not_kept_and_not_built_again_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[int] = []

    def build() -> bytes:
        built.append(1)
        return OURS

    trt = FakeTensorRt("tensorrt", "10.15", loads=False)
    this = job(SPEC)
    identity = this.spec.identity(this.network, {"backend": "tensorrt"})
    for _ in range(3):  # starts of a node
        with pytest.raises(BackendError, match="could not be loaded on this GPU"):
            EngineCache(tmp_path).open(identity, build, lambda data: Engine(trt, data, this))
    assert built == [1] and EngineCache(tmp_path).entries() == []
    EngineCache(tmp_path).clear()
    trt.loads = True
    EngineCache(tmp_path).open(identity, build, lambda data: Engine(trt, data, this))
    assert len(built) == 2 and len(EngineCache(tmp_path).entries()) == 1


def test_what_only_failed_for_now_is_built_again(tmp_path: Path) -> None:
    def load(data: bytes) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    this = job(SPEC)
    identity = this.spec.identity(this.network, {"backend": "tensorrt"})
    built = iter([b"1", b"2", b"3"])
    for _ in range(2):
        with contextlib.suppress(torch.OutOfMemoryError):
            EngineCache(tmp_path).open(identity, lambda: next(built), load)
    assert next(built) == b"3"
