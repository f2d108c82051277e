"""`python -m regseg_core.compile` writes engines that work, and none that score worse."""

from __future__ import annotations

import logging
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from regseg_core import Frame, Segmenter
from regseg_core.backends.base import BackendError
from regseg_core.backends.engine_file import EngineError, read_identity
from regseg_core.compile import main
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.evaluation import change, verify
from regseg_core.model import create_model
from regseg_core.weights import find_weights, load_weights, save_weights

OPENVINO = "--backend openvino --precision float32 --size 120x160 --encoding rgb8"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An engine file, and what was printed when it was made."""
    out = tmp_path_factory.mktemp("compiled") / "street.engine"
    with redirect_stdout(StringIO()) as printed:
        main(f"{OPENVINO} --verify street -o {out}".split())
    return out, printed.getvalue()


@pytest.mark.integration
@pytest.mark.xdist_group("compiled")
def test_a_compiled_file_runs_where_it_is_carried(
    compiled: tuple[Path, str], tmp_path: Path
) -> None:
    made, printed = compiled
    assert "mean points lost 0.00 on 50 images; 100.00 % of the pixels" in printed
    assert f"wrote {made}" in printed
    out = tmp_path / "carried.engine"
    shutil.copy(made, out)
    assert read_identity(out)["spec"]["height"] == 120

    segment = Segmenter(
        device="cpu", precision="float32", backend="openvino", cache=None, engine=out
    )
    frame, _ = SyntheticStreets(1, 160, 120)[0]
    expected = Segmenter(device="cpu", precision="float32", backend="eager")(frame, "rgb8").labels
    assert (segment(frame, "rgb8").labels == expected).mean() > 0.9999
    assert segment.health.backend == "openvino"

    data = out.read_bytes()
    out.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(EngineError, match="is damaged"):
        Segmenter(device="cpu", precision="float32", engine=out)


@pytest.mark.integration
def test_a_file_for_two_frames_at_once_runs_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "pair.engine"
    main(f"{OPENVINO} --batch 2 -o {out}".split())
    streets = SyntheticStreets(2, 160, 120)
    frames = [Frame.of(streets[index][0], "rgb8") for index in range(2)]
    settings = {"device": "cpu", "precision": "float32", "cache": None}
    segment = Segmenter(backend="openvino", engine=out, **settings)  # type: ignore[arg-type]
    assert segment.engine_spec is not None and segment.engine_spec.batch == 2
    with caplog.at_level(logging.INFO):
        found = segment.segment(frames)
    assert segment.health.running == {"2 x 120 x 160 rgb8, float32": "openvino"}
    assert "compiling" not in caplog.text
    expected = Segmenter(backend="eager", **settings).segment(frames)  # type: ignore[arg-type]
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.labels == theirs.labels).mean() > 0.9999


@pytest.mark.integration
def test_a_graph_is_compiled_for_another_size_of_the_network(tmp_path: Path) -> None:
    out = tmp_path / "small.engine"
    main(f"{OPENVINO} --network-size 64x96 -o {out}".split())
    settings = {"device": "cpu", "precision": "float32", "size": (64, 96), "cache": None}
    segment = Segmenter(device="cpu", backend="openvino", engine=out, cache=None)
    assert (segment.size, segment.precision) == ((64, 96), "float32"), "the file's"
    frame, _ = SyntheticStreets(1, 160, 120)[0]
    expected = Segmenter(backend="eager", **settings)(frame, "rgb8").labels  # type: ignore[arg-type]
    assert expected.shape == (120, 160)
    for other in ({"size": (96, 128)}, {"precision": "bfloat16"}):
        with pytest.raises(EngineError, match="the engine file is for 120 x 160 rgb8 seen at 64 "):
            Segmenter(device="cpu", engine=out, cache=None, **other)
    assert (segment(frame, "rgb8").labels == expected).mean() > 0.9999


def test_what_makes_no_file_is_verified_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--backend", "eager", "--precision", "float32", "--size", "64x96", "--verify", "street"])
    assert "mean points lost 0.00 on 50 images" in capsys.readouterr().out


@pytest.mark.integration
@pytest.mark.xdist_group("compiled")
def test_an_engine_of_other_weights_is_refused(compiled: tuple[Path, str], tmp_path: Path) -> None:
    engine, _ = compiled
    card, path = find_weights("regseg48-camvid")
    model = create_model(card.architecture, len(card.labels))
    load_weights(model, path)
    model.get_parameter(model.classifier_names[1]).data[3] += 1
    other = tmp_path / "other.safetensors"
    save_weights(other, model, card)
    with pytest.raises(EngineError, match="was compiled for something else: weights '"):
        Segmenter(other, device="cpu", precision="float32", engine=engine)


@pytest.mark.integration
def test_a_graph_that_scores_worse_is_refused_and_no_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "worse.engine"
    monkeypatch.setattr(change, "CLASS_MAY_LOSE", -5.0)
    with pytest.raises(SystemExit, match=r"error: the compiled graph is refused: \w+ falls by"):
        main(f"{OPENVINO} --verify street -o {out}".split())
    assert not out.exists()


def test_what_counts_as_worse() -> None:
    names = ("road", "pole", "sky")
    exact: list[float | None] = [90.0, 20.0, None]
    good = verify.Comparison(names, exact, [89.9, 19.8, None], 99.9, 5)
    assert good.mean_lost == pytest.approx(0.15)
    good.refuse_if_worse()
    assert "pole" in str(good) and "sky" not in str(good)
    with pytest.raises(BackendError, match=r"mIoU falls by 0\.25 points \(at most 0\.2\)$"):
        verify.Comparison(names, exact, [89.75, 19.75, None], 99.9, 5).refuse_if_worse()
    with pytest.raises(BackendError, match=r"refused: pole falls by 1\.10 points"):
        verify.Comparison(names, exact, [90.9, 18.9, None], 99.9, 5).refuse_if_worse()


@pytest.mark.slow
def test_kept_graphs_are_listed_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Segmenter(device="cpu", precision="float32", backend="openvino")(
        np.zeros((64, 96, 3), np.uint8)
    )
    main(["--list"])
    [line] = capsys.readouterr().out.splitlines()
    assert "64 x 96 bgr8, float32" in line and "openvino" in line
    main(["--clear"])
    assert "deleted 1 from" in capsys.readouterr().out
    main(["--list"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("-o x.engine", "give --size HEIGHTxWIDTH, and -o FILE or --verify DATA"),
        ("--size 64x64 --backend inductor", "give --size HEIGHTxWIDTH, and -o FILE or --verify"),
        ("--size 64x64 --backend inductor -o x.engine", "backend 'inductor' makes no file; give"),
        (
            "--size 64x64 --backend openvino -o x.engine",
            "OpenVINO computes in float32, bfloat16 or",
        ),
        ("--size 64x64 --verify street --gpu sm_86", "--gpu is of a file: give -o FILE"),
        ("--size 64x64 --batch 0 -o x.engine", "a batch has at least 1 frame, not 0"),
        ("--size 64x64 --batch -2 -o x.engine", "a batch has at least 1 frame, not -2"),
        ("--size 64x64 --backend openvino -o /dev/null/x.engine", "cannot write into /dev/null"),
        ("--size 64x64 --weights none -o x.engine", "no weights"),
    ],
)
def test_what_cannot_be_compiled_ends_with_one_line(arguments: str, reason: str) -> None:
    with pytest.raises(SystemExit, match=f"error: {reason}"):
        main(arguments.split())
    assert not Path("x.engine").exists()
