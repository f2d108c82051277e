"""int8: ranges that are bound to their weights, put into the graph of any frames, within a gate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jobs import CPU, job

from regseg_core import Segmenter, zoo
from regseg_core.backends.base import BackendError, Building, Job
from regseg_core.backends.choose import BACKENDS, choose_numbers
from regseg_core.backends.eager import Eager
from regseg_core.backends.openvino import OpenVino
from regseg_core.backends.runners import COMPILE_AFTER
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.store import EngineStore
from regseg_core.calibration import (
    Calibration,
    CalibrationError,
    path_beside,
    read_calibration,
    sha256_of,
    write_calibration,
)
from regseg_core.compile import compile_graph
from regseg_core.data.opening import open_split
from regseg_core.data.synthetic import STREET, SyntheticStreets
from regseg_core.device import has_fast_int8
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import ArgumentError
from regseg_core.evaluation.verify import compare
from regseg_core.labels import CAMVID
from regseg_core.precision import choose_precision

SHIPPED = zoo.find(zoo.DEFAULT)

needs_vnni = pytest.mark.skipif(not has_fast_int8(), reason="this processor has no VNNI")


@pytest.fixture
def vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that is fast at int8, for what does not compute."""
    monkeypatch.setattr("regseg_core.precision.has_fast_int8", lambda: True)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The shipped weights and their calibration, as a user's."""
    copy = tmp_path / "mine.safetensors"
    shutil.copy(SHIPPED, copy)
    shutil.copy(path_beside(SHIPPED), path_beside(copy))
    return copy


def in_int8(spec: GraphSpec, calibration: Calibration | None = None) -> Job:
    calibration = calibration or read_calibration(SHIPPED)
    return replace(job(replace(spec, precision="int8")), calibration=calibration)


def test_shipped_weights_come_with_their_calibration() -> None:
    calibration = read_calibration(SHIPPED)
    assert calibration.weights == sha256_of(SHIPPED)
    assert len(calibration.ranges) > 100
    assert path_beside(SHIPPED).stat().st_size < 20_000
    assert calibration.about["images"] == 90 and "train split" in calibration.about["data"]


def test_a_calibration_is_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "some.safetensors"
    file.write_bytes(b"weights")
    ranges = {"images": (-2.1, 2.64), "stem.conv Add Relu": (0.0, float(np.float32(15.079)))}
    written = Calibration(sha256_of(file), ranges, ("stem.conv",), {"images": 3})
    assert write_calibration(file, written) == tmp_path / "some.int8.json"
    assert read_calibration(file) == written
    assert read_calibration(file).sha256 == written.sha256


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "\x80\x04\x95pickled",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace('"ranges"', '"range"'),
        lambda text: json.dumps(json.loads(text) | {"ranges": {"images": [1, -1]}}),
        lambda text: json.dumps(json.loads(text) | {"ranges": {"images": [0, float("nan")]}}),
        lambda text: json.dumps(json.loads(text) | {"ranges": {"images": [0, 1, 2]}}),
        lambda text: json.dumps(json.loads(text) | {"floats": 3}),
        lambda text: json.dumps(json.loads(text) | {"weights": "0" * 64}),
    ],
)
@pytest.mark.usefixtures("vnni")
def test_a_damaged_or_foreign_calibration_is_one_clear_error_and_no_int8(
    damage: object, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = path_beside(weights)
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    reason = r"mine\.int8\.json is .*: calibrate again, or delete it$"
    with pytest.raises(CalibrationError, match=reason):
        read_calibration(weights)
    with pytest.raises(ArgumentError, match=f"^precision int8: .*{reason}"):
        choose_numbers("int8", CPU, "auto", weights)
    precision, calibration = choose_numbers("auto", CPU, "auto", weights)
    assert precision in ("bfloat16", "float32") and calibration is None
    [warning] = [r.message for r in caplog.records]
    assert warning.startswith("int8 is not used: ") and "mine.int8.json" in warning


@pytest.mark.usefixtures("vnni")
def test_a_calibration_that_cannot_be_read_is_no_int8(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path_beside(weights).unlink()
    path_beside(weights).mkdir()
    assert choose_numbers("auto", CPU, "auto", weights)[1] is None
    assert "mine.int8.json cannot be read" in caplog.text


@pytest.mark.usefixtures("vnni")
def test_auto_is_int8_where_it_is_fast_and_can_be_had(
    weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def chosen(backend: str = "auto", device: torch.device = CPU) -> str:
        return choose_numbers("auto", device, backend, weights)[0]

    assert chosen() == chosen("openvino") == "int8"
    assert choose_numbers("auto", CPU, [BACKENDS["openvino"]], weights)[0] == "int8"
    assert choose_numbers("auto", torch.device("cuda", 0), "auto", weights) == ("float16", None)
    best = chosen("eager")
    assert best in ("bfloat16", "float32")
    path_beside(weights).unlink()
    assert chosen() == best
    with pytest.raises(ArgumentError, match=r"int8: there is no .*mine\.int8\.json, which `python"):
        choose_numbers("int8", CPU, "auto", weights)
    shutil.copy(path_beside(SHIPPED), path_beside(weights))
    monkeypatch.setitem(sys.modules, "openvino", None)  # what importing it then raises
    assert chosen() == best
    with pytest.raises(ArgumentError, match="precision int8: pip install openvino"):
        choose_numbers("int8", CPU, "auto", weights)
    monkeypatch.undo()
    monkeypatch.setattr("regseg_core.precision.has_fast_int8", lambda: False)
    assert chosen() == best
    with pytest.raises(ArgumentError, match="precision int8 needs a CPU with VNNI; cpu is none"):
        choose_numbers("int8", CPU, "auto", weights)
    assert not caplog.text


def test_training_is_never_in_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regseg_core.precision.has_fast_int8", lambda: True)
    assert choose_precision("auto", CPU) in ("bfloat16", "float32")
    with pytest.raises(ArgumentError, match="int8: it is for segmenting with OpenVINO"):
        choose_precision("int8", CPU)


@pytest.mark.usefixtures("vnni")
def test_other_backends_refuse_int8_in_one_sentence() -> None:
    spec = GraphSpec("bgr8", 64, 64)
    for name in sorted(set(BACKENDS) - {"openvino"}):
        with pytest.raises(ArgumentError, match=f"int8: OpenVINO computes in it, {name} does not"):
            choose_numbers("int8", CPU, name, SHIPPED)
        with pytest.raises(BackendError, match="does not compute in int8; OpenVINO on a CPU does"):
            EngineStore().open(BACKENDS[name], in_int8(spec))
    with pytest.raises(BackendError, match="tensorrt does not compute in int8"):
        compile_graph(in_int8(spec), "tensorrt")
    with pytest.raises(BackendError, match="int8 needs a calibration of the weights"):
        OpenVino().payload(job(replace(spec, precision="int8")), Building())


def test_engines_in_int8_are_bound_to_their_calibration_and_others_are_not() -> None:
    spec = GraphSpec("bgr8", 64, 64, precision="int8")
    calibration = read_calibration(SHIPPED)

    def identity(calibration: Calibration) -> dict[str, object]:
        return in_int8(spec, calibration).identity(OpenVino())

    ranges = dict(calibration.ranges)
    ranges["images"] = (ranges["images"][0], ranges["images"][1] + 1)
    assert identity(replace(calibration, ranges=ranges)) != identity(calibration)
    assert identity(replace(calibration, floats=("stem.conv",))) != identity(calibration)
    assert identity(replace(calibration, about={"data": "the same"})) == identity(calibration)
    assert "calibration" not in job(replace(spec, precision="bfloat16")).network


@needs_vnni
@pytest.mark.integration
@pytest.mark.parametrize(
    "spec",
    [
        GraphSpec("bgr8", 96, 128, confidence=True),
        GraphSpec("yuv422_yuy2", 90, 122, batch=2),
        GraphSpec("mono8", 150, 202, rotation=90, size=(192, 288)),
    ],
    ids=GraphSpec.title,
)
def test_one_calibration_fits_the_graphs_of_all_frames(spec: GraphSpec) -> None:
    this = in_int8(spec)
    upright = (spec.width, spec.height) if spec.rotation == 0 else (spec.height, spec.width)
    exact = Eager().build(replace(this, spec=spec))
    found = OpenVino().load(OpenVino().payload(this, Building()), this)
    shares = []
    for seed in range(50, 58):
        streets = SyntheticStreets(spec.batch, *upright, first_seed=seed)
        lying = [np.rot90(streets[place][0], spec.rotation // 90) for place in range(spec.batch)]
        pixels = [ENCODINGS[spec.encoding].from_rgb(np.ascontiguousarray(one)) for one in lying]
        frames = torch.from_numpy(np.stack(pixels))
        shares.append(float((found(frames)[0] == exact(frames)[0]).float().mean()))
    # It has 0.993 to 0.996; ranges that are a third too narrow leave 0.86.
    same = np.mean(shares)
    assert 0.99 < same < 1, "less is another network, all is floating point"


@needs_vnni
@pytest.mark.slow
def test_running_in_int8_needs_no_nncf() -> None:
    script = """
import logging, sys
import numpy as np
sys.modules["nncf"] = None
from regseg_core import Segmenter
from regseg_core.backends.base import Building
from regseg_core.backends.openvino import OpenVino
segment = Segmenter(device="cpu", precision="int8", backend="openvino", cache=None)
spec = segment.spec(64, 96)
OpenVino().payload(segment.job(spec), Building())
assert segment(np.zeros((64, 96, 3), np.uint8)).labels.shape == (64, 96)
assert segment.health.running == {"64 x 96 bgr8, int8": "openvino"}
assert sys.modules["nncf"] is None
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@needs_vnni
@pytest.mark.slow
def test_pytorch_segments_until_openvino_is_ready_in_int8(tmp_path: Path) -> None:
    segment = Segmenter(device="cpu", cache=tmp_path)
    assert segment.precision == "int8"
    assert segment.network.dtype in (torch.bfloat16, torch.float32)
    frames = [SyntheticStreets(1, *size)[0][0] for size in ((160, 120), (128, 96))]
    first = [segment(frame, "rgb8").labels for frame in frames]
    assert " eager int8 " not in segment.description
    for frame in frames:
        assert segment.compile(segment.spec(len(frame), len(frame[0]), "rgb8")) == "openvino"
    assert len(list(tmp_path.glob("*.engine"))) == 2
    for _ in range(COMPILE_AFTER):  # sizes that alternate
        for frame, labels in zip(frames, first, strict=True):
            assert (segment(frame, "rgb8").labels == labels).mean() > 0.99
    assert "openvino int8 on cpu" in segment.description
    assert len(list(tmp_path.glob("*.engine"))) == 2 and not segment.health.failures


@needs_vnni
@pytest.mark.slow
def test_int8_passes_the_gate_on_streets() -> None:
    this = in_int8(GraphSpec("bgr8", 240, 320))
    compiled = OpenVino().load(OpenVino().payload(this, Building()), this)
    report = compare(compiled, this, open_split(STREET, "val", CAMVID))
    report.refuse_if_worse()
    assert report.agreement > 99.5
