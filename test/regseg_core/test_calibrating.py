"""`compile --calibrate`: ranges for int8 are measured, and layers that it hurts are spared."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from regseg_core import Segmenter, zoo
from regseg_core.backends.rounding import layer_of
from regseg_core.calibration import path_beside, read_calibration
from regseg_core.compile import main
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.device import has_fast_int8
from regseg_core.media import write_image
from regseg_core.model import create_model
from regseg_core.weights import find_weights, load_weights, save_weights

SHIPPED = zoo.find(zoo.DEFAULT)

needs_vnni = pytest.mark.skipif(not has_fast_int8(), reason="this processor has no VNNI")


@needs_vnni
@pytest.mark.integration
def test_weights_of_ones_own_are_calibrated_checked_compiled_and_carried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "mine.safetensors"
    shutil.copy(SHIPPED, weights)
    folder = tmp_path / "images"
    for place in range(4):
        write_image(folder / f"{place}.png", SyntheticStreets(4, 160, 120)[place][0])
    main(f"--weights {weights} --calibrate {folder}".split())
    printed = capsys.readouterr().out
    assert "measured 4 images\n" in printed and f"wrote {path_beside(weights)}" in printed
    ours = read_calibration(weights)
    assert set(ours.ranges) == set(read_calibration(SHIPPED).ranges), "the same places"

    out = tmp_path / "street.engine"
    engine = f"--weights {weights} --backend openvino --precision int8 --size 120x160"
    main(f"{engine} --encoding rgb8 -o {out}".split())
    path_beside(weights).unlink()  # the engine holds all that its frames need
    segment = Segmenter(weights, device="cpu", backend="openvino", cache=None, engine=out)
    assert segment.precision == "int8"
    frame, _ = SyntheticStreets(1, 160, 120)[0]
    expected = Segmenter(device="cpu", precision="float32", backend="eager")(frame, "rgb8").labels
    assert (segment(frame, "rgb8").labels == expected).mean() > 0.99
    with pytest.raises(SystemExit, match=r"error: there is no .*, which `python -m regseg_core"):
        main(f"{engine} -o {out}".split())


def sensitive(path: Path) -> str:
    """Weights that give the shipped labels in floating point, and none in int8: of one layer's
    output a channel is 256 times as large, and the next layer takes a 256th of it.
    """
    card, shipped = find_weights(zoo.DEFAULT)
    network = create_model(card.architecture, len(card.labels))
    load_weights(network, shipped)
    state = network.state_dict()
    block = "body.stage4"
    channel = int(state[f"{block}.bn1.bias"].argmax())
    for name in ("weight", "bias"):
        state[f"{block}.bn1.{name}"][channel] *= 256
    inside = state[f"{block}.conv2.weight"].shape[1]
    group = slice(channel // inside * inside, (channel // inside + 1) * inside)
    state[f"{block}.conv2.weight"][group, channel % inside] /= 256
    save_weights(path, network, card)
    return f"{block}.conv1"


@needs_vnni
@pytest.mark.slow
def test_a_layer_that_int8_hurts_goes_back_to_floating_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("regseg_core.data.opening.SCORED_STREETS", 12)
    path = tmp_path / "sensitive.safetensors"
    layer = sensitive(path)
    with caplog.at_level(logging.WARNING):
        # In smaller frames a class has so few pixels that its edges alone are a point.
        main(f"--weights {path} --calibrate street --size 180x240 --verify street".split())
    calibration = read_calibration(path)
    assert calibration.floats[0] == layer
    assert len(calibration.floats) < 10, "few others, if any"
    assert "int8 hurts: " in caplog.text and f"{layer} stays in floating point" in caplog.text
    assert any(layer_of(name) == layer for name in calibration.ranges), "its range is still known"


def test_shipped_weights_are_not_calibrated_in_their_place(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="regseg48-camvid comes with its calibration; for another"):
        main(["--calibrate", "street"])
    with pytest.raises(SystemExit, match="--calibrate writes beside the weights; then compile"):
        main(["--calibrate", "street", "-o", str(tmp_path / "x.engine")])
