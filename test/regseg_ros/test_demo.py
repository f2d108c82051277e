"""The camera for trying things out, the recorder, and the demo that joins them."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from places import ROOT
from rclpy.node import Node
from rig import Rig, image
from sensor_msgs.msg import CameraInfo

from regseg_core.arrays import Image
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.encodings import ENCODINGS
from regseg_core.geometry.camera_model import CameraModel
from regseg_core.geometry.drawing import LINE, cost_colors
from regseg_core.media import CutOffError, MediaError, VideoWriter, read_image, write_image
from regseg_core.messages.uncompressed import to_frame
from regseg_ros import demo
from regseg_ros.geometry.calibration import camera_model
from regseg_ros.geometry.clouds import depths
from regseg_ros.recorder import Arrivals, Samples, Waiting
from regseg_ros.video_source import open_source


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    frames = [SyntheticStreet(64, 48).frame(float(t))[0] for t in range(3)]
    for number, frame in enumerate(frames):
        write_image(tmp_path / "images" / f"{number}.png", frame)
    return frames


@pytest.mark.integration
def test_a_folder_is_published_in_order(fresh: Rig, images: list[Image], tmp_path: Path) -> None:
    encoding = "bgra8"
    messages = fresh.listen("/lens")
    fresh.start(
        *["-p", f"source:={tmp_path / 'images'}", "-p", f"encoding:={encoding}"],
        *["-p", "rate:=50.0", "-p", "image_topic:=/lens", "-p", "frame_id:=left"],
        *["-p", "wait_for_subscribers:=1", "-p", f"report:={tmp_path / 'sent.json'}"],
        module="video_source",
    )
    fresh.until(lambda: len(messages) == 3)
    for message, sent in zip(messages, images, strict=True):
        wanted = ENCODINGS[encoding].from_rgb(sent)
        assert message.header.frame_id == "left" and message.encoding == encoding
        assert np.array_equal(to_frame(message).pixels.reshape(wanted.shape), wanted)
    assert fresh.process is not None and fresh.process.wait(20) == 0
    assert json.loads((tmp_path / "sent.json").read_text()) == {"sent": 3}


@pytest.mark.integration
def test_the_street_comes_with_its_calibration_and_depth(fresh: Rig) -> None:
    frames, infos = (
        fresh.listen("/camera/image_raw"),
        fresh.listen("/camera/camera_info", CameraInfo),
    )
    depth = fresh.listen("/camera/depth/image_raw")
    given = ["-p", "width:=96", "-p", "height:=64", "-p", "rate:=20.0", "-p", "frames:=10"]
    fresh.start(*given, "-p", "wait_for_subscribers:=1", module="video_source")
    fresh.until(lambda: len(frames) == 10 and infos and depth)
    street = SyntheticStreet(96, 64)
    assert camera_model(infos[0]) == street.camera
    assert infos[0].header in [frame.header for frame in frames]
    assert depth[-1].header in [frame.header for frame in frames]
    number = [frame.header for frame in frames].index(depth[-1].header)
    true = street.depth(number / 20)
    found = depths(depth[-1])
    assert np.isnan(found[np.isinf(true)]).all()
    assert np.array_equal(found[np.isfinite(true)], true[np.isfinite(true)])


def test_a_camera_of_known_focal_length_has_a_calibration(
    fresh: Rig, images: list[Image], tmp_path: Path
) -> None:
    infos = fresh.listen("/lens/camera_info", CameraInfo)
    fresh.start(
        *["-p", f"source:={tmp_path / 'images'}", "-p", "image_topic:=/lens/image", "-p"],
        *["focal:=50.0", "-p", "loop:=true"],
        module="video_source",
    )
    fresh.until(lambda: infos)
    assert camera_model(infos[0]) == CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5)


def test_sources(images: list[Image], tmp_path: Path) -> None:
    looped = list(islice(open_source(str(tmp_path / "images"), 10, (64, 48), loop=True), 7))
    assert [np.array_equal(looped[n], images[n % 3]) for n in range(7)] == [True] * 7
    assert len(list(open_source(str(tmp_path / "images"), 10, (64, 48), loop=False))) == 3
    with VideoWriter(tmp_path / "video.mp4", 10) as video:
        for frame in images:
            video.write(frame)
    assert len(list(open_source(str(tmp_path / "video.mp4"), 10, (64, 48), loop=False))) == 3
    street = next(open_source("street", 10, (96, 64), loop=False))
    assert np.array_equal(street, SyntheticStreet(96, 64).frame(0.0)[0])
    with pytest.raises(MediaError, match="no source 'nowhere': give a folder"):
        open_source("nowhere", 10, (64, 48), loop=False)


def test_a_film_that_is_cut_off_is_shown_again_and_again(tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.mp4", tmp_path / "half.mp4"
    with VideoWriter(whole, 15) as video:
        for frame, _ in islice(SyntheticStreet(64, 48).frames(15), 30):
            video.write(frame)
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(CutOffError):
        list(open_source(str(half), 15, (64, 48), loop=False))
    frames = open_source(str(half), 15, (64, 48), loop=True)
    assert len(list(islice(frames, 60))) == 60


def test_recorded_figures() -> None:
    arrivals = Arrivals(times=[10.0, 10.1, 10.2], latencies=[0.01, 0.02, 0.03])
    assert arrivals.summary() == {
        "masks": 3,
        "latency_p50_ms": 20.0,
        "latency_p95_ms": 29.0,
        "masks_per_second": 10.0,
    }
    assert Arrivals().summary() == {"masks": 0}


def test_samples_are_spread_over_the_whole_recording() -> None:
    samples = Samples()
    for number in range(1000):
        samples.add((np.full((1, 1, 3), number // 4, np.uint8),))
    chosen = [int(row[0][0, 0, 0]) for row in samples.chosen()]
    assert len(chosen) == 4 and chosen[0] == 0 and chosen[-1] > 200
    assert np.diff(chosen).min() > 50


def test_rows_that_wait_are_bounded() -> None:
    rows, row = Waiting(most=100), (np.zeros((4, 2, 3), np.uint8), np.zeros((4, 2, 3), np.uint8))
    assert [rows.put(row) for _ in range(3)] == [True, True, False]
    taken = iter(rows)
    assert next(taken) is row and rows.put(row)
    rows.end()
    assert len(list(taken)) == 2


@pytest.mark.integration
def test_a_video_that_cannot_be_written_ends_the_recorder(fresh: Rig, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    node = Node("regseg", context=fresh.context)
    for name, value in {"names": ["road"], "ids": [0], "colors": [1, 2, 3]}.items():
        node.declare_parameter(f"class_{name}", value)
    fresh.executor.add_node(node)
    for output in ("mask", "overlay"):
        fresh.publisher(f"/regseg/{output}")
    fresh.start("-p", f"out:={tmp_path / 'file' / 'demo'}", module="recorder")
    fresh.until_said("recording /camera/image_raw")
    frame = image(SyntheticStreet(64, 48).frame(0.0)[0], "rgb8")
    fresh.send_until(frame, lambda: fresh.process and fresh.process.poll() is not None)
    assert fresh.process is not None and fresh.process.returncode == 1
    assert "error: cannot write" in fresh.said() and "Traceback" not in fresh.said()
    node.destroy_node()


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "regseg_ros.demo", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.integration
def test_the_demo(tmp_path: Path) -> None:
    result = run_demo("street", "--out", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads((tmp_path / "demo.json").read_text())
    assert 15 < figures["masks"] <= 150, "far more of 150 where nothing else runs"
    for title in ("frames sent", "masks received", "dropped", "p50", "p95", "frames per second"):
        assert title in result.stdout
    with av.open(str(tmp_path / "demo.mp4")) as video:
        stream = video.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert figures["masks"] >= sum(1 for _ in video.decode(stream)) > 15
    assert read_image(tmp_path / "demo.png").shape[1] == 3 * 480 + 2 * 6


@pytest.mark.slow
def test_the_demo_draws_the_ground(tmp_path: Path) -> None:
    result = run_demo("street", "--ground", "--out", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ground.png" in result.stdout
    picture = read_image(tmp_path / "ground.png")
    # Free, the pavement's cost in steps of an OccupancyGrid, lethal, unknown.
    for color in (*cost_colors()[[0, 99, 254, 255]], LINE):
        count = (picture[:780] == color).all(axis=2).sum()
        assert count > 100, f"{color}: {count} pixels of the picture without its legend"


def test_the_ground_needs_a_camera_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    with pytest.raises(SystemExit, match="nothing is known of the camera of"):
        demo.main([str(tmp_path / "film"), "--ground", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="--focal"):
        demo.main([str(tmp_path / "film"), "--ground", "--focal", "400", "--out", str(tmp_path)])


def test_the_demo_names_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="demo failed: no source 'nowhere': give a folder"):
        demo.main(["nowhere", "--out", str(tmp_path)])


@pytest.mark.slow
def test_the_demo_says_which_of_its_nodes_failed(images: list[Image], tmp_path: Path) -> None:
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    result = run_demo(str(tmp_path / "images"), "--out", str(tmp_path))
    assert result.returncode != 0
    assert "1.png is not a readable image" in result.stderr
    assert "demo failed: video_source" in result.stderr
    result = run_demo("street", "--weights", "nothing", "--out", str(tmp_path))
    assert result.returncode != 0
    assert "no weights 'nothing'" in result.stderr and "demo failed: segmenter" in result.stderr


def test_the_demo_starts_nothing_for_a_source_without_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run_demo(str(tmp_path / "empty"), "--out", str(tmp_path))
    assert result.returncode != 0
    assert result.stderr.startswith("demo failed: no images") and "1/3" not in result.stdout
