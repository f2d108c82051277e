"""The node's benchmark counts what it sends, and keeps and draws what it finds."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from places import ROOT
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from regseg_core.backends.health import Health
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.media import read_image, write_image
from regseg_core.messages.compressed import to_frame as decoded
from regseg_core.messages.uncompressed import to_frame
from regseg_ros.benchmark import __main__ as benchmark
from regseg_ros.benchmark import stage, starting
from regseg_ros.benchmark.bench import Bench
from regseg_ros.benchmark.cases import CASES
from regseg_ros.benchmark.costs import memory, processor_seconds
from regseg_ros.benchmark.figures import latencies, longest_gap, percentiles, rate_of
from regseg_ros.benchmark.load import BenchmarkError, Load
from regseg_ros.benchmark.pictures import image_messages, jpeg_messages, pictures
from regseg_ros.benchmark.rows import Aim, Row, Rows
from regseg_ros.benchmark.sink import stamp_of
from regseg_ros.diagnostics import status_message
from regseg_ros.settings import Thresholds
from regseg_ros.statistics import FrameStatistics

MS = 1_000_000


def run(*options: str) -> list[dict[str, object]]:
    """What a run has written; rclpy of this process is set for its DDS domain meanwhile."""
    out = Path(options[-1])
    with mock.patch.dict(os.environ):
        benchmark.main(list(options))
    [path] = out.glob("*/node.json")
    rows: list[dict[str, object]] = json.loads(path.read_text())["rows"]
    return rows


def accounted(values: object) -> bool:
    """Whether each frame that was sent came back, or is counted where it was left."""
    assert isinstance(values, dict)
    ends = values["masks"] + values["masks_lost"] + values["dropped"] + values["lost"]
    return bool(values["sent"] == ends and values["sent"] - values["lost"] == values["received"])


@pytest.mark.integration
def test_a_sweep_accounts_for_every_frame_and_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "CALLING", 0.1)
    rows = run(
        *["--cases", "sweep", "--size", "48x64", "--backend", "eager", "--data", "street"],
        *["--rates", "8", "--seconds", "1", "--out", str(tmp_path)],
    )
    (row,) = rows
    values = row["values"]
    assert isinstance(values, dict) and row["case"] == "sweep" and accounted(values)
    assert 1 < values["sent"] <= 10 and values["masks"] > 0
    assert values["p50"] <= values["p95"] <= values["p99"]
    assert values["beyond"] == pytest.approx(values["p50"] - values["call"])
    assert values["backend"] == "eager" and values["private"] < values["resident"]
    [table], [plot] = tmp_path.glob("*/node.md"), tmp_path.glob("*/node-sweep.png")
    assert "| sweep: 64 x 48 bgr8, 8 Hz | eager |" in table.read_text()
    assert read_image(plot).shape[2] == 3


@contextmanager
def stuck_node(domain: int) -> Iterator[None]:
    """Says on /diagnostics that a frame is in work, until the context ends."""
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = Node("stuck", context=context)
    publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    frames, ended = FrameStatistics(), threading.Event()
    frames.count("received")

    def say() -> None:
        while not ended.wait(0.1):
            report = frames.report()
            status = status_message(report, Thresholds(), "stuck", "", 1.0, "", Health())
            message = DiagnosticArray(status=[status])
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)

    thread = threading.Thread(target=say)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.integration
def test_a_frame_that_stays_in_work_ends_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "PATIENCE", 1.0)
    load = Load(height=48, width=64)
    with (
        mock.patch.dict(os.environ),
        stage.Stage(load, tmp_path) as made,
        stuck_node(int(made.environment["ROS_DOMAIN_ID"])),
        pytest.raises(BenchmarkError, match="1 frames are in work after 1 s"),
    ):
        made.measure(made.camera)


class Hasty:
    """A stage whose better backend has taken over before the first mask."""

    asked = 0

    def __init__(self, load: Load, cache: Path) -> None:
        self.load, self.camera, self.sink = load, self, self
        Hasty.asked = 0

    def __enter__(self) -> Hasty:
        return self

    def __exit__(self, *_: object) -> None: ...

    def start_nodes(self) -> None: ...

    def check(self) -> None: ...

    def ask(self, what: str, **_: Any) -> list[tuple[int, int, int]]:
        Hasty.asked += what == "take"
        return [(0, 0, time.time_ns())] if Hasty.asked > 1 else []

    def said(self) -> str:
        return f"{time.time() - 10:.3f} INFO now running openvino for 48 x 64 bgr8\n"


@pytest.mark.integration
def test_a_first_mask_that_comes_after_a_better_backend_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(starting, "Stage", Hasty)
    with Bench({}, None, None, "") as bench:
        row = next(starting.first(bench))
    assert "first mask (s)" in row.values and Hasty.asked > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        *("given", "latency", "overload", "idle", "first", "gap", "memory"),
        *("company", "transport", "cameras", "profile"),
    ],
)
def test_every_case_runs(case: str, tmp_path: Path) -> None:
    small = ["--size", "48x64", "--seconds", "2", "--data", "street"]
    rows = run("--cases", case, *small, "--out", str(tmp_path))
    assert {row["case"] for row in rows} == {case}
    for row in rows:
        values = row["values"]
        assert isinstance(values, dict)
        assert "p50" not in values or accounted(values)
        assert len(row["reached"]) == len(row["aims"])  # type: ignore[arg-type]
    assert bool(list(tmp_path.glob("*/node-profile.png"))) == (case == "profile")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--encoding holo9", "encoding 'holo9': give one of rgb8"),
        ("--encoding nv12 --size 47x64", "47"),
        ("--rate 0", "rate 0: give one above 0"),
        ("--transport compressed --encoding rgb8", "leave the encoding at bgr8"),
        ("--data nowhere", "no source 'nowhere'"),
        ("--rates often", "rates 'often': give frames a second"),
        ("--cases first --backend eager --size 48x64", "leave --backend out"),
    ],
)
def test_wrong_options_are_one_line(options: str, said: str) -> None:
    with mock.patch.dict(os.environ), pytest.raises(SystemExit, match=r"^error: ") as raised:
        benchmark.main(["--data", "street", *options.split()])
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_help_names_every_case() -> None:
    command = [sys.executable, "-m", "regseg_ros.benchmark", "--help"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in CASES:
        assert f"{name}:" in printed


def test_latencies_are_of_frames_that_were_sent_meanwhile() -> None:
    sent = [(0, 10 * MS), (1, 10 * MS), (0, 20 * MS)]
    arrivals = [(0, 5 * MS, 9 * MS), (0, 10 * MS, 40 * MS), (1, 10 * MS, 30 * MS)]
    assert latencies(sent, arrivals) == pytest.approx([30.0, 20.0])
    assert longest_gap(arrivals) == pytest.approx(31.0)
    assert longest_gap([]) == longest_gap(arrivals[:1]) == 0.0
    assert rate_of([0, 500 * MS, 1000 * MS]) == pytest.approx(2.0)
    assert rate_of([]) == rate_of([7]) == 0.0
    assert percentiles([1.0, 2.0, 3.0])[0] == 2.0 and math.isnan(percentiles([])[0])


def test_the_stamp_is_read_from_the_bytes_of_a_message() -> None:
    message = Image()
    message.header.frame_id = "lens"
    message.header.stamp.sec, message.header.stamp.nanosec = 1_700_000_000, 999_999_999
    assert stamp_of(serialize_message(message)) == 1_700_000_000_999_999_999


def test_frames_are_of_the_size_and_encoding_that_are_asked_for(tmp_path: Path) -> None:
    for number in range(2):
        write_image(tmp_path / f"{number}.png", SyntheticStreet(64, 48).frame(number)[0])
    images = pictures(str(tmp_path), 24, 32)
    assert len(images) == 16 and not np.array_equal(images[0], images[1])
    for encoding in ("bgr8", "nv12", "mono8"):
        frame = to_frame(image_messages(images[:1], encoding)[0])
        assert (frame.height, frame.width, frame.encoding) == (24, 32, encoding)
    frame = decoded(jpeg_messages(images[:1])[0], 10_000)
    assert np.abs(frame.rgb().astype(int) - images[0]).mean() < 10


def test_aims_that_are_missed_are_said_and_kept(tmp_path: Path) -> None:
    rows = Rows("a machine", tmp_path / "node.json")
    aims = (Aim("latency, ms", 6.1, 6.0), Aim("throughput", 0.95, 0.9, at_least=True))
    rows.note(Row("latency", "small", {"seconds": 1.0}, aims))
    kept = json.loads((tmp_path / "node.json").read_text())
    assert kept["machine"] == "a machine" and kept["rows"][0]["reached"] == [False, True]
    table = (tmp_path / "node.md").read_text()
    assert "| latency: small | latency, ms | 6.10 | ≤ 6 | **not reached** |" in table
    assert "| latency: small | throughput | 0.95 | ≥ 0.9 | reached |" in table


def test_several_cameras_have_topics_of_their_own() -> None:
    load = Load(cameras=2)
    assert load.camera_topics == ["/camera0/image_raw", "/camera1/image_raw"]
    assert load.mask_topics == ["/regseg/camera0/mask", "/regseg/camera1/mask"]
    assert Load(cameras=2, apart=True).mask_topics[1] == "/camera1/regseg/mask"
    assert Load().mask_topics == ["/regseg/mask"]


def test_costs_are_those_of_the_process() -> None:
    before = processor_seconds(os.getpid())
    while processor_seconds(os.getpid()) < before + 0.05:
        pass
    held = np.ones(64 << 20, np.uint8)
    found = memory(os.getpid())
    assert found.peak >= found.resident > found.private > held.nbytes / 2**20
