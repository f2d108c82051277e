"""What the node makes ready is what the camera needs, and it says how long the first mask takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from rig import Rig, image, pixels, status

from regseg_core import Segmenter
from regseg_core.arrays import Image
from regseg_core.compile import main as compile_main
from regseg_core.data.synthetic import SyntheticStreets

pytestmark = pytest.mark.integration

OPENVINO = ("-p", "backend:=openvino", "-p", "precision:=float32")


def street(height: int = 64, width: int = 96) -> Image:
    return SyntheticStreets(1, width, height)[0][0]


@pytest.mark.slow
def test_a_named_backend_compiles_for_the_camera_alone_and_confidence_starts_nothing(
    fresh: Rig, tmp_path: Path
) -> None:
    fresh.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    fresh.start(*OPENVINO)
    fresh.until_said("active:")
    assert "compiling" not in fresh.said(), "no frame has come"
    labels = fresh.listen("/regseg/label")
    fresh.until_connected()
    fresh.send_until(image(street(), "rgb8"), lambda: labels)
    fresh.until_said("first mask of /camera/image_raw ")
    assert "compiling openvino for 64 x 96 rgb8, float32, with confidence" in fresh.said()

    confidences = fresh.listen("/regseg/confidence")
    fresh.until_connected()
    fresh.send_until(image(street(), "rgb8"), lambda: confidences)
    assert status(fresh)["frames"] == "64 x 96 rgb8, float32, with confidence: openvino"
    assert fresh.said().count("compiling") == 1 and fresh.said().count("first mask of") == 1
    assert len(list((tmp_path / "cache" / "regseg").glob("*.engine"))) == 1
    assert fresh.stop() == 0

    # The next one is told what to expect, and finds what this one has kept.
    fresh.log.write_text("")
    fresh.start(*OPENVINO, "-p", "warm_up:='64x96 rgb8'")
    fresh.until_said("warmed up for 64 x 96 rgb8, float32, with confidence in ")
    assert "compiling" not in fresh.said()
    assert status(fresh)["frames"] == "64 x 96 rgb8, float32, with confidence: openvino"


def test_an_engine_file_is_loaded_at_activation_and_decides_on_confidence(
    fresh: Rig, tmp_path: Path
) -> None:
    out = tmp_path / "street.engine"
    options = "--backend openvino --precision float32 --size 64x96 --encoding rgb8"
    compile_main([*options.split(), "-o", str(out)])
    fresh.start(*OPENVINO, "-p", f"engine:={out}")
    fresh.until_said("warmed up for 64 x 96 rgb8, float32 in ")
    assert "~/confidence is not published: the engine file was compiled" in fresh.said()
    assert "compiling" not in fresh.said()
    labels = fresh.listen("/regseg/label")
    fresh.until_connected()
    fresh.send_until(image(street(), "rgb8"), lambda: labels)
    assert fresh.node.count_publishers("/regseg/confidence") == 0
    expected = Segmenter(backend="eager", precision="float32")(street(), "rgb8").labels
    assert (pixels(labels[0]) == expected).mean() > 0.999
    assert status(fresh)["frames"] == "64 x 96 rgb8, float32: openvino"


def test_an_engine_file_of_other_settings_or_for_several_frames_is_explained(
    fresh: Rig, tmp_path: Path
) -> None:
    out = tmp_path / "pair.engine"
    options = "--backend openvino --precision float32 --size 64x96 --encoding rgb8 --batch 2"
    compile_main([*options.split(), "-o", str(out)])
    fresh.start("-p", "precision:=bfloat16", "-p", f"engine:={out}")
    fresh.until_said("configure failed: the engine file is for 2 x 64 x 96 rgb8, float32, and")
    assert fresh.process is not None and fresh.process.wait(60) == 1
    fresh.start("-p", f"engine:={out}")
    fresh.until_said("active:")
    assert "the engine file is for 2 frames at once and is not used" in fresh.said()
    assert "warmed up" not in fresh.said()


def test_a_warm_up_that_is_no_size_is_explained(fresh: Rig) -> None:
    fresh.start("-p", "warm_up:=large")
    fresh.until_said("configure failed: warm_up 'large' is not HEIGHTxWIDTH ENCODING")
    assert fresh.process is not None and fresh.process.wait(60) == 1
