"""What TensorRTs of several versions do on several GPUs, by stand-ins of both."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from fake_cuda import pretend_gpu
from fake_tensorrt import FakeTensorRt, install, payload
from jobs import job

from regseg_core.backends import tensorrt, torch_tensorrt
from regseg_core.backends.base import BackendError, Building, Job
from regseg_core.backends.cache import EngineCache
from regseg_core.backends.choose import candidates
from regseg_core.backends.gpus import GPUS
from regseg_core.backends.onnx import to_onnx
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.tensorrt import TensorRt
from regseg_core.backends.tensorrt_engine import Engine

SPEC = GraphSpec("rgb8", 4, 6, precision="float16")
OURS = payload(["frames", "input", "uint8"], ["labels", "output", "uint8"])


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The current stream of a GPU that is not there."""
    current = SimpleNamespace(cuda_stream=7, synchronize=lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: current)
    return current


@pytest.mark.parametrize(
    ("capability", "title", "install_hint"),
    [
        ("9.0", "NVIDIA H200", "pip install tensorrt onnx"),
        ("8.0", "NVIDIA A100", "pip install tensorrt onnx"),
        ("8.7", "Orin", "sudo apt install python3-libnvinfer"),
        ("11.0", "NVIDIA Thor", "sudo apt install python3-libnvinfer"),
    ],
)
@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_tensorrt_for_rtx_is_refused_where_it_does_not_run_before_anything_is_built(
    capability: str,
    title: str,
    install_hint: str,
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = install(monkeypatch, "tensorrt_rtx", "1.6.1")
    device = pretend_gpu(monkeypatch, capability, title)
    with pytest.raises(BackendError) as caught:
        candidates(backend, device)
    assert f"{title} (compute capability {capability}): {install_hint}" in str(caught.value)
    usable, refused = candidates("auto", device)
    assert "tensorrt" not in [b.name for b in usable] and install_hint in refused["tensorrt"]
    assert library.configs == []


@pytest.mark.parametrize(
    ("capability", "installed", "taken"),
    [
        ("8.6", "tensorrt_rtx", "tensorrt_rtx 1.6"),
        ("8.9", "tensorrt", "tensorrt 10.16"),
        ("12.0", "tensorrt_rtx", "tensorrt_rtx 1.6"),
        ("8.7", "tensorrt", "tensorrt 10.3"),
        ("11.0", "tensorrt", "tensorrt 10.16"),
        ("9.0", "tensorrt", "tensorrt 10.16"),
        ("10.0", "tensorrt", "tensorrt 10.16"),
        ("13.0", "tensorrt", "tensorrt 11.3"),
    ],
)
def test_auto_takes_the_tensorrt_that_runs_on_the_gpu(
    capability: str, installed: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, installed, taken.split()[1])
    device = pretend_gpu(monkeypatch, capability, "a GPU")
    usable, _ = candidates("auto", device)
    assert usable[0].name == "tensorrt"
    made_by = TensorRt().made_by(device)
    assert made_by["library"] == taken
    own = f"sm_{capability.replace('.', '')}"
    assert made_by["target"] == ("any" if installed == "tensorrt_rtx" else own)


def test_the_readme_shows_the_table_of_gpus() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for row in GPUS:
        assert f"| {row.gpus} ({', '.join(row.capabilities)}) |" in readme
        assert f" | `{row.install}`" in readme


def test_an_engine_without_our_names_is_read_by_the_order_of_its_tensors(
    stream: SimpleNamespace,
) -> None:
    """Torch-TensorRT 2.6 to 2.13 calls the outputs output0 and output1."""
    trt = FakeTensorRt("tensorrt", "10.15")
    data = payload(
        ["arg0", "input", "uint8"], ["output0", "output", "int32"], ["output1", "output", "int32"]
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
        ([["frames", "input", "uint8"]], r"outputs \[\]; expected one input, and labels"),
        ([["frames", "input", "uint8"], ["labels", "output", "half"]], "labels as .*HALF"),
    ],
)
def test_an_engine_of_something_else_is_refused(tensors: list[list[str]], reason: str) -> None:
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
    assert not Engine(FakeTensorRt("tensorrt_rtx", "1.6.1"), OURS, job(SPEC)).can_be_recorded()


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


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each exported graph was wide; the graph itself is not wanted here."""
    found: list[bool] = []

    def export(job: Job, wide: bool = False) -> bytes:
        found.append(wide)
        return b"wide" if wide else b"narrow"

    monkeypatch.setattr(tensorrt, "to_onnx", export)
    return found


def on_gpu() -> Job:
    this = job(SPEC)
    return Job(this.card, this.path, this.spec, torch.device("cuda", 0))


def test_where_tensorrt_cannot_cast_to_uint8_labels_leave_as_int32(
    monkeypatch: pytest.MonkeyPatch,
    exported: list[bool],
    stream: SimpleNamespace,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trt = install(monkeypatch, "tensorrt", "10.3.0", casts=False)
    pretend_gpu(monkeypatch, "8.7", "Orin")
    data = TensorRt().payload(on_gpu(), Building())
    assert exported == [False, True]
    assert "leave TensorRT as int32: TensorRT does not take the graph: cast from" in caplog.text
    (labels,) = Engine(trt, data, job(SPEC))(torch.zeros(SPEC.shape, dtype=torch.uint8))
    assert labels.dtype == torch.uint8


@pytest.mark.parametrize(("version", "converts"), [("10.3.0", False), ("10.16.1", True)])
def test_torch_tensorrt_converts_for_a_tensorrt_that_it_knows(
    version: str, converts: bool, monkeypatch: pytest.MonkeyPatch, exported: list[bool]
) -> None:
    install(monkeypatch, "tensorrt", version)
    pretend_gpu(monkeypatch, "8.7", "Orin")
    monkeypatch.setattr(torch_tensorrt, "installed", lambda library: "2.99")
    monkeypatch.setattr(torch_tensorrt, "check_fits", lambda library: None)
    monkeypatch.setattr(torch_tensorrt, "engine", lambda job, library: b"converted")
    data = TensorRt().payload(on_gpu(), Building())
    assert (data == b"converted") is converts
    assert exported == ([] if converts else [False])


def test_a_torch_tensorrt_without_a_packages_name_is_for_tensorrt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Up to 2.8; it used to be an AttributeError."""
    package, dynamo = ModuleType("torch_tensorrt"), ModuleType("torch_tensorrt.dynamo")
    dynamo.convert_exported_program_to_serialized_trt_engine = (  # type: ignore[attr-defined]
        lambda program, **_: b"engine"
    )
    monkeypatch.setitem(sys.modules, "torch_tensorrt", package)
    monkeypatch.setitem(sys.modules, "torch_tensorrt.dynamo", dynamo)
    monkeypatch.setattr(torch_tensorrt, "exported", lambda job: (None, None))
    assert torch_tensorrt.engine(job(SPEC), "tensorrt") == b"engine"
    with pytest.raises(BackendError, match="builds for tensorrt, not for tensorrt_rtx"):
        torch_tensorrt.engine(job(SPEC), "tensorrt_rtx")


def test_engines_are_built_for_recording_with_timings_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: list[bool]
) -> None:
    trt = install(monkeypatch, "tensorrt_rtx", "1.6.1")
    pretend_gpu(monkeypatch, "8.6", "NVIDIA GeForce RTX 3060")
    for how in (Building(), Building(folder=tmp_path), Building(thorough=True, folder=tmp_path)):
        TensorRt().payload(on_gpu(), how)
    assert [config.flags for config in trt.configs] == [{"user allocation"}] * 3
    assert [config.builder_optimization_level for config in trt.configs] == [3, 3, 5]
    assert [config.timings for config in trt.configs] == [None, b"", b"timings"]
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"damaged")
    TensorRt().payload(on_gpu(), Building(folder=tmp_path))
    assert trt.configs[-1].timings == b"" and file.read_bytes() == b"timings"
    assert EngineCache(tmp_path).clear() == 0 and not list(tmp_path.iterdir())


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


def test_an_old_pytorch_cannot_export_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(BackendError, match=r"ONNX export needs torch 2\.7 or later, not 2\.6\.0"):
        to_onnx(job(SPEC))
