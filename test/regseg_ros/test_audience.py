"""Subscribers that misbehave, and backends that do: over DDS, the masks of the others go on."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import deaf
import pytest
import rclpy
import torch
from backends import marking
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import TransitionCallbackReturn
from rig import Rig, image, rig, status
from sensor_msgs.msg import CompressedImage, Image
from torch import Tensor

from regseg_core.backends.base import Compiled, Job
from regseg_core.backends.choose import BACKENDS
from regseg_core.data.synthetic import SyntheticStreets
from regseg_ros.process import keep_spinning
from regseg_ros.segmenter import SegmenterNode

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("audience")]

FRAME = SyntheticStreets(1, 96, 64)[0][0]
LARGE = SyntheticStreets(1, 480, 360)[0][0]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("audience")) as made:
        made.start("-p", "network_height:=32", "-p", "network_width:=32")
        made.until_said("active:")
        yield made


def check_counts(found: dict[str, str]) -> None:
    ends = ("segmented", "dropped", "unwanted", "refused", "failed", "in work")
    assert int(found["received"]) == sum(int(found[name]) for name in ends)


def test_a_subscriber_that_never_reads(running: Rig, tmp_path: Path) -> None:
    """More masks than the shared memory holds go by while a reliable one of them is stopped."""
    topics = ["/regseg/mask", "/regseg/overlay"]
    log = tmp_path / "deaf.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, deaf.__file__, *topics], env=running.environment, stdout=file
        )
    try:
        running.send_until(image(LARGE, "rgb8"), lambda: b"heard" in log.read_bytes())
        os.kill(process.pid, signal.SIGSTOP)
        masks = running.listen("/regseg/mask")
        for _ in range(20):
            sent = image(LARGE, "rgb8")
            running.send_until(sent, lambda h=sent: masks and masks[-1].header == h.header)  # type: ignore[misc]
        os.kill(process.pid, signal.SIGCONT)
        size = log.stat().st_size
        running.send_until(image(LARGE, "rgb8"), lambda: log.stat().st_size > size)
    finally:
        process.kill()
        process.wait()
    masks.clear()
    running.send_until(image(FRAME, "rgb8"), lambda: masks)
    check_counts(status(running))


def test_subscribers_that_come_and_go(running: Rig) -> None:
    labels = running.listen("/regseg/label")
    running.send_until(image(FRAME, "rgb8"), lambda: labels)
    kinds = [(name, Image) for name in ("mask", "label", "confidence", "overlay")]
    kinds += [(f"{name}/compressed", CompressedImage) for name, _ in kinds]
    guests: list[object] = []
    for turn in range(40):
        name, kind = kinds[turn % len(kinds)]
        guests.append(
            running.node.create_subscription(kind, f"/regseg/{name}", lambda _: None, turn % 3 + 1)
        )
        if len(guests) > 10 or turn >= 30:
            running.node.destroy_subscription(guests.pop(turn % len(guests)))
        running.send(image(FRAME, "rgb8"))
        running.spin(0.02)
    while guests:
        running.node.destroy_subscription(guests.pop())
    labels.clear()
    running.send_until(image(FRAME, "rgb8"), lambda: labels)
    check_counts(status(running))
    assert "Traceback" not in running.said()


class Moody:
    """Labels everything 3, and raises where it is told to."""

    name = "moody"

    def __init__(self) -> None:
        self.raises = False

    def check(self, device: torch.device) -> None: ...

    def build(self, job: Job) -> Compiled:
        good = marking(3)

        def run(frames: Tensor) -> tuple[Tensor, ...]:
            if self.raises:
                raise torch.OutOfMemoryError("no memory left")
            return good(frames)

        return run


@pytest.fixture
def in_process(fresh: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Moody]]:
    """Starts a node of this process whose backend is in our hands."""
    fresh.log.touch()
    ends = contextlib.ExitStack()

    def start() -> Moody:
        moody = Moody()
        monkeypatch.setitem(BACKENDS, "moody", moody)
        rclpy.init(args=["--ros-args", "-p", "backend:=moody", "-p", "confidence:=false"])
        ends.callback(rclpy.try_shutdown)
        node = SegmenterNode()
        ends.callback(node.destroy_node)
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS

        def spin() -> None:
            with contextlib.suppress(ExternalShutdownException):
                keep_spinning(node)

        thread = threading.Thread(target=spin)
        thread.start()
        ends.callback(thread.join)
        ends.callback(rclpy.try_shutdown)
        return moody

    with ends:
        yield start
    gc.collect()  # Its lifecycle services go with its last reference.


def test_a_backend_that_raises_once_and_always(fresh: Rig, in_process: Callable[[], Moody]) -> None:
    moody = in_process()
    labels = fresh.listen("/regseg/label")

    def go_on() -> None:
        sent = image(FRAME, "rgb8")
        fresh.send_until(sent, lambda: labels and labels[-1].header == sent.header)
        assert set(labels[-1].data) == {3}

    go_on()
    failed = 0
    for times in (1, 20):
        moody.raises = True
        while int((found := status(fresh))["failed"]) < failed + times:
            for _ in range(times):
                fresh.send(image(FRAME, "rgb8"))
                fresh.spin(0.05)
        failed = int(found["failed"])
        assert "OutOfMemoryError: no memory left" in found["last failure"]
        assert "no memory left" in found["message"]
        moody.raises = False
        go_on()
    check_counts(status(fresh))
