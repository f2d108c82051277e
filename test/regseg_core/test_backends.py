"""Backends give the labels that PyTorch gives, and none leaves a frame unsegmented."""

from __future__ import annotations

import logging
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
import torch._dynamo
from jobs import CPU, job, opened
from torch import Tensor

from regseg_core import Frame, Segmenter
from regseg_core.backends.base import BackendError, Building, Compiled, Job
from regseg_core.backends.cache import EngineCache
from regseg_core.backends.choose import BACKENDS, candidates
from regseg_core.backends.eager import Eager
from regseg_core.backends.openvino import OpenVino, graph_in
from regseg_core.backends.runners import COMPILE_AFTER
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.store import EngineStore
from regseg_core.data.opening import open_split
from regseg_core.data.synthetic import STREET, SyntheticStreets
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import WeightsError
from regseg_core.evaluation.verify import compare
from regseg_core.labels import CAMVID
from regseg_core.model import create_model
from regseg_core.weights import find_weights, save_weights


@pytest.fixture
def few_streets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regseg_core.data.opening.SCORED_STREETS", 12)


@pytest.fixture
def few_recompilations() -> Iterator[None]:
    """PyTorch compiles 8 forms of the same code unless it is told otherwise; here 1."""
    with torch._dynamo.config.patch(recompile_limit=1):
        yield


#: Frames smaller than the largest dilation at 1/16 are where backends have gone wrong.
GATED = [("bgr8", (96, 128)), *((e.name, (240, 320)) for e in dict.fromkeys(ENCODINGS.values()))]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["openvino", "inductor"])
@pytest.mark.parametrize(("encoding", "size"), GATED)
@pytest.mark.usefixtures("few_streets", "few_recompilations")
def test_bfloat16_passes_the_gate_in_every_encoding(
    backend: str, encoding: str, size: tuple[int, int]
) -> None:
    spec = GraphSpec(encoding, *size, precision="bfloat16", confidence=True)
    compiled = opened(BACKENDS[backend], spec)
    report = compare(compiled, job(spec), open_split(STREET, "val", CAMVID))
    assert report.images == 12 and report.agreement > 99.5
    report.refuse_if_worse()


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.usefixtures("few_streets")
def test_the_gate_sees_images_as_a_turned_camera_sends_them(rotation: int) -> None:
    height, width = (180, 240) if rotation == 180 else (240, 180)
    spec = GraphSpec("rgb8", height, width, rotation=rotation)
    report = compare(Eager().build(job(spec)), job(spec), open_split(STREET, "val", CAMVID))
    known = [iou for iou in report.before if iou is not None]
    assert statistics.mean(known) > 70, "lying on their side they would score below 20"


@pytest.mark.slow
def test_labels_and_confidence_of_a_batch_equal_pytorchs() -> None:
    height, width, batch = 97, 131, 3
    spec = GraphSpec("bgr8", height, width, batch, confidence=True)
    streets = SyntheticStreets(batch, width, height)
    frames = torch.from_numpy(np.stack([streets[i][0][..., ::-1] for i in range(batch)]))
    exact = Eager().build(job(spec))(frames)
    found = opened(OpenVino(), spec)(frames)
    for planes in (exact, found):
        assert [plane.shape for plane in planes] == [(batch, height, width)] * 2
    assert (found[0] == exact[0]).float().mean() > 0.9999
    assert (found[1].int() - exact[1].int()).abs().max() <= 3


def test_auto_says_why_a_backend_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # what importing it then raises
    with caplog.at_level(logging.INFO):
        segment = Segmenter(backend="auto", device="cpu")
    reason = segment.health.refused["openvino"]
    assert reason.startswith("pip install openvino (import of openvino halted")
    [line] = [r.message for r in caplog.records if "not used" in r.message]
    assert line == f"backend openvino is not used: {reason}"
    assert segment(np.zeros((64, 64, 3), np.uint8)).labels.shape == (64, 64)
    assert segment.health.backend == "eager"
    with pytest.raises(BackendError, match="pip install openvino"):
        Segmenter(backend="openvino", device="cpu")


def test_a_backend_named_by_hand_must_work() -> None:
    with pytest.raises(BackendError, match="TensorRT runs on a GPU, not on cpu"):
        Segmenter(backend="tensorrt", device="cpu")
    with pytest.raises(ValueError, match="backend 'cuda': give auto, tensorrt, tensorrt-rtx, "):
        Segmenter(backend="cuda")
    usable, refused = candidates("auto", CPU)
    assert [b.name for b in usable] == ["openvino", "eager"] and refused == {}


@pytest.mark.parametrize(
    "backend",
    [
        "eager",
        pytest.param("openvino", marks=pytest.mark.slow),
        pytest.param("inductor", marks=pytest.mark.slow),
    ],
)
def test_threads_that_segment_at_once_get_their_own_frames_labels(backend: str) -> None:
    segment = Segmenter(device="cpu", precision="float32", backend=backend, cache=None)
    streets = [SyntheticStreets(4, 96, 64)[place][0] for place in range(4)]
    alone = [segment(street, "rgb8").labels for street in streets]

    def works(place: int) -> bool:
        labels = [segment(streets[place], "rgb8").labels for _ in range(20)]
        return all(np.array_equal(found, alone[place]) for found in labels)

    with ThreadPoolExecutor(len(streets)) as threads:
        assert list(threads.map(works, range(len(streets)))) == [True] * 4


def test_an_engine_of_another_processor_is_compiled_from_its_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = GraphSpec("rgb8", 64, 96, 1, None, False, "float32")
    frames = torch.randint(0, 256, spec.shape, dtype=torch.uint8)
    backend, its_job, graphs = OpenVino(), job(spec), []
    ours = backend.payload(its_job, Building())
    read_model = openvino.Core.read_model
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(openvino.Core, "get_property", lambda *_: "another")
        theirs = backend.payload(its_job, Building())

    def reads(core: openvino.Core, **given: bytes) -> openvino.Model:
        graphs.append(given)
        return read_model(core, **given)

    monkeypatch.setattr(openvino.Core, "read_model", reads)
    here = backend.load(ours, its_job)(frames)
    assert not graphs  # what is compiled already needs no graph
    assert torch.equal(backend.load(theirs, its_job)(frames)[0], here[0]) and len(graphs) == 1


def test_no_upsampling_in_openvinos_graph_makes_full_size_logits() -> None:
    backend, its_job = OpenVino(), job(GraphSpec("rgb8", 96, 128))
    graph = graph_in(backend.payload(its_job, Building()))
    graph.reshape(list(its_job.spec.shape))
    sizes = [
        tuple(graph_op.output(0).shape[2:])
        for graph_op in graph.get_ops()
        if graph_op.get_type_name() == "Interpolate"
    ]
    # The network's own, and the last one's columns: its rows come in bands.
    assert (24, 128) in sizes and (96, 128) not in sizes


def test_an_engine_of_another_form_is_refused_in_one_sentence() -> None:
    spec = GraphSpec("rgb8", 64, 96)
    for payload in (b"", (4).to_bytes(8, "little") + b"<xml>", bytes(range(256))):
        with pytest.raises(BackendError, match="another form: compile it again"):
            OpenVino().load(payload, job(spec))


@pytest.mark.slow
def test_a_segmenter_goes_over_to_openvino_and_its_labels_stay(tmp_path: Path) -> None:
    segment = Segmenter(device="cpu", precision="float32", cache=tmp_path)
    frame, _ = SyntheticStreets(1, 160, 120)[0]
    first = segment(frame, "rgb8").labels
    assert segment.health.backend == "eager" and not list(tmp_path.iterdir())
    for _ in range(COMPILE_AFTER):
        assert np.array_equal(segment(frame, "rgb8").labels, first)
    deadline = time.monotonic() + 120
    while segment.health.backend != "openvino":
        assert time.monotonic() < deadline and not segment.health.failures
        now = segment(frame, "rgb8").labels
        time.sleep(0.2)  # the processor is needed for compiling
    assert (now == first).mean() > 0.9995
    assert "openvino float32 on cpu" in segment.description
    assert len(list(tmp_path.glob("*.engine"))) == 1
    assert segment.compile(segment.spec(120, 160, "rgb8")) == "openvino"
    assert segment.health.running == {"120 x 160 rgb8, float32": "openvino"}


@pytest.mark.slow
def test_an_engine_is_built_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(*_: object) -> bytes:
        raise AssertionError("built in this process")

    monkeypatch.setattr(OpenVino, "payload", here)
    spec, frames = GraphSpec("mono8", 64, 64), torch.zeros(1, 64, 64, dtype=torch.uint8)
    planes = EngineStore(tmp_path).open(OpenVino(), job(spec))(frames)
    [entry] = EngineCache(tmp_path).entries()
    written = entry.stat().st_mtime_ns
    again = EngineStore(tmp_path).open(OpenVino(), job(spec))(frames)
    assert torch.equal(again[0], planes[0]) and entry.stat().st_mtime_ns == written
    bad = replace(job(spec), path=tmp_path / "broken.safetensors")
    bad.path.write_bytes(b"found out where it is opened, which is in the other process")
    with pytest.raises(BackendError, match=r"broken\.safetensors"):
        EngineStore(tmp_path).open(OpenVino(), bad)


def test_weights_that_change_under_a_segmenter_are_not_compiled(tmp_path: Path) -> None:
    card, shipped = find_weights("regseg48-camvid")
    path = tmp_path / "mine.safetensors"
    shutil.copy(shipped, path)
    segment = Segmenter(path, device="cpu", precision="float32", backend="eager")
    job_of_then = segment.job(segment.spec(64, 96))
    identity = job_of_then.identity(OpenVino())
    job_of_then.graph(torch.float32)
    save_weights(path, create_model(card.architecture, len(card.labels)), card)
    job_of_now = segment.job(segment.spec(64, 96))
    assert job_of_now.identity(OpenVino()) == identity
    with pytest.raises(WeightsError, match=r"mine\.safetensors has changed since it was loaded"):
        job_of_now.graph(torch.float32)


def test_frames_of_one_kind_run_as_one_batch_in_the_order_they_came() -> None:
    batches: list[tuple[int, ...]] = []

    class Counting(Eager):
        name = "counting"

        def build(self, job: Job) -> Compiled:
            run = super().build(job)

            def counted(frames: Tensor) -> tuple[Tensor, ...]:
                batches.append(tuple(frames.shape))
                return run(frames)

            return counted

    segment = Segmenter(device="cpu", precision="float32", backend=[Counting()], cache=None)
    small, large = (SyntheticStreets(3, *size) for size in ((64, 48), (96, 64)))
    frames = [
        Frame.of(small[0][0], "rgb8"),
        Frame.of(large[0][0], "rgb8"),
        Frame.of(small[1][0], "rgb8"),
        Frame.of(small[2][0][..., ::-1], "bgr8"),
        Frame.of(large[1][0][..., 0], "mono8"),
    ]
    found = segment.segment(frames, confidence=True)
    assert sorted(batches) == [(1, 48, 64, 3), (1, 64, 96), (1, 64, 96, 3), (2, 48, 64, 3)]
    for frame, result in zip(frames, found, strict=True):
        alone = segment(frame.pixels, frame.encoding, confidence=True)
        assert result.frame is frame and result.labels.shape == (frame.height, frame.width)
        assert (result.labels == alone.labels).mean() > 0.999
        assert result.confidence is not None and alone.confidence is not None
        assert np.abs(result.confidence.astype(int) - alone.confidence).max() <= 1
    assert segment.segment([]) == []
    assert segment.health.running == {
        "2 x 48 x 64 rgb8, float32, with confidence": "counting",
        "48 x 64 rgb8, float32, with confidence": "counting",
        "48 x 64 bgr8, float32, with confidence": "counting",
        "64 x 96 rgb8, float32, with confidence": "counting",
        "64 x 96 mono8, float32, with confidence": "counting",
    }
