"""What TensorRTs of several versions do on several GPUs, by stand-ins of both."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from fake_cuda import pretend_gpu
from fake_tensorrt import FRAMES, install, payload
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
from regseg_core.compile import compile_graph

LABELS = ["labels", "output", "uint8"]
SPEC = GraphSpec("rgb8", 4, 6, precision="float16")
OURS = payload(FRAMES, ["labels", "output", "uint8"])


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
        ("7.5", "tensorrt_rtx", "tensorrt_rtx 1.6"),
        ("12.1", "tensorrt_rtx", "tensorrt_rtx 1.6"),
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
    rtx = install(monkeypatch, "tensorrt_rtx", "1.6.1")
    pretend_gpu(monkeypatch, "8.6", "NVIDIA GeForce RTX 3060")
    TensorRt().payload(on_gpu(), Building(folder=tmp_path))
    (config,) = rtx.configs
    assert config.flags == {"user allocation"} and config.timings is None
    trt = install(monkeypatch, "tensorrt", "10.15")
    live, ahead = Building(folder=tmp_path), Building(thorough=True, folder=tmp_path)
    for how in (Building(), live, live, ahead, ahead):
        TensorRt().payload(on_gpu(), how)
    assert [config.builder_optimization_level for config in trt.configs] == [3, 3, 3, 5, 5]
    # What was timed beside a robot's work is not for what is compiled ahead.
    assert [config.timings for config in trt.configs] == [None, b"", b"timings", b"", b"timings"]
    for file in tmp_path.iterdir():
        file.write_bytes(b"damaged")
    TensorRt().payload(on_gpu(), live)
    assert trt.configs[-1].timings == b""
    assert EngineCache(tmp_path).clear() == 0 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("capability", "targets"), [("7.5", ["SM75"]), ("8.6", []), ("12.0", []), ("12.1", ["SM121"])]
)
def test_a_gpu_that_tensorrt_for_rtx_leaves_out_is_named(
    capability: str,
    targets: list[str],
    monkeypatch: pytest.MonkeyPatch,
    exported: list[bool],
) -> None:
    trt = install(monkeypatch, "tensorrt_rtx", "1.6.1")
    pretend_gpu(monkeypatch, capability, "a GPU")
    TensorRt().payload(on_gpu(), Building())
    assert trt.configs[0].targets == targets


@pytest.mark.parametrize("capability", ["9.0", "8.6"])
def test_for_other_gpus_this_machines_does_not_matter(
    capability: str, monkeypatch: pytest.MonkeyPatch, exported: list[bool]
) -> None:
    trt = install(monkeypatch, "tensorrt_rtx", "1.6.1")
    pretend_gpu(monkeypatch, capability, "a GPU")
    assert compile_graph(on_gpu(), "tensorrt", ("sm_89",)).startswith(b"regseg engine")
    (config,) = trt.configs
    assert config.targets == ["SM89"] and config.builder_optimization_level == 5


@pytest.mark.parametrize("capability", ["6.1", "7.0", "7.2"])
def test_gpus_that_are_too_old_are_refused(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "tensorrt", "10.15")
    device = pretend_gpu(monkeypatch, capability, "an old GPU")
    with pytest.raises(BackendError, match="no TensorRT that is known here runs on an old GPU"):
        TensorRt().check(device)


def test_what_is_missing_for_the_export_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "tensorrt", "10.3.0", casts=False)
    pretend_gpu(monkeypatch, "8.7", "Orin")
    asked: list[bool] = []

    def missing(job: Job, wide: bool = False) -> bytes:
        asked.append(wide)
        raise BackendError("pip install onnx onnxscript")

    monkeypatch.setattr(tensorrt, "to_onnx", missing)
    with pytest.raises(BackendError, match=r"^pip install onnx onnxscript$"):
        TensorRt().payload(on_gpu(), Building())
    assert asked == [False]


def test_an_old_pytorch_cannot_export_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(BackendError, match=r"ONNX export needs torch 2\.7 or later, not 2\.6\.0"):
        to_onnx(job(SPEC))
