"""How the package's nodes end: in every phase, by either signal, however often; and never begin."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import children
from rig import PATIENCE, claim_domain

from regseg_ros.demo import private_environment

pytestmark = pytest.mark.integration

Start = Callable[..., "Process"]


class Process:
    """A node, alone in its DDS domain."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        self.proc = Path(f"/proc/{self.process.pid}")

    def said(self) -> str:
        return self.log.read_text()

    def until(self, ready: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, f"timed out; it said:\n{self.said()}"
            time.sleep(0.01)

    def until_said(self, text: str) -> None:
        self.until(lambda: text in self.said())

    def until_it_catches_signals(self) -> None:
        def caught() -> int:
            (mask,) = re.findall(r"SigCgt:\s*(\w+)", (self.proc / "status").read_text())
            return int(mask, 16) >> (signal.SIGTERM - 1) & 1

        self.until(caught)

    def segments(self) -> set[Path]:
        """Fast DDS' shared memory, but for the ports, which outlive their processes."""
        found = re.findall(r"/dev/shm/fastrtps_[0-9a-f]{16}\b", (self.proc / "maps").read_text())
        return {Path(path) for path in found}

    def end(self, number: signal.Signals, again: bool = False, status: int = 0) -> None:
        """A signal, or many, ends it: without a traceback, and nothing stays behind."""
        segments, started = self.segments(), children(self.process.pid)
        self.process.send_signal(number)
        while again and self.process.poll() is None:
            self.process.send_signal(number)
            time.sleep(0.01)
        assert self.process.wait(PATIENCE) == status, self.said()
        assert "Traceback" not in self.said() and "cleaning up" not in self.said()
        self.until(lambda: not [path for path in segments if path.exists()])
        self.until(lambda: not [n for n in started if Path(f"/proc/{n}").exists()])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a module of the package with arguments after --ros-args."""
    domain, claim = claim_domain()
    environment = {
        **private_environment(),
        "ROS_DOMAIN_ID": str(domain),
        "XDG_CACHE_HOME": str(tmp_path),
    }
    started: list[Process] = []

    def begin(module: str, *arguments: str) -> Process:
        command = [sys.executable, "-m", f"regseg_ros.{module}", "--ros-args", *arguments]
        started.append(Process(command, environment, tmp_path / f"{len(started)}.log"))
        return started[-1]

    with claim:
        yield begin
        for entry in started:
            entry.process.kill()
            entry.process.wait()


def test_signals_during_the_imports_end_it_at_once(start: Start) -> None:
    modules = ("segmenter", "video_source", "recorder", "doctor")
    for number, module in zip((signal.SIGINT, signal.SIGTERM) * 2, modules, strict=True):
        node = start(module)
        node.until_it_catches_signals()
        # An interrupted examination is no good verdict.
        node.end(number, status=1 if module == "doctor" else 0)
        assert node.said() == ""
    node = start("segmenter")
    node.until_it_catches_signals()
    time.sleep(0.5)  # in the middle of PyTorch
    node.end(signal.SIGTERM, again=True)


@pytest.mark.parametrize(
    ("phase", "number", "again"),
    [
        ("loaded regseg48", signal.SIGTERM, False),
        ("active:", signal.SIGINT, True),
    ],
)
def test_signals_end_it_in_every_phase(
    phase: str, number: signal.Signals, again: bool, start: Start
) -> None:
    node = start("segmenter", "-p", "backend:=eager")
    node.until_said(phase)
    node.end(number, again=again)


@pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="openvino is not installed")
def test_a_signal_while_a_named_backend_compiles_leaves_no_orphan(start: Start) -> None:
    node = start("segmenter", "-p", "backend:=openvino", "-p", "warm_up:=360x480 rgb8")
    node.until(lambda: children(node.process.pid))
    node.end(signal.SIGINT)
    assert "compiled openvino" not in node.said()


def test_wrong_arguments_end_it_with_one_line(start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("regseg: {ros__parameters: {rate: [")
    cases = {
        ("--log-level", "loud"): "log level: '--log-level loud'.*debug|info|warn",
        ("--params-file", str(broken)): "broken.yaml.*Error parsing.*near line 1",
        ("--parameters", "rate:=1"): r"unknown ROS arguments \['--parameters'.*-p NAME:=VALUE",
    }
    nodes = [(start("video_source", *arguments), said) for arguments, said in cases.items()]
    for node, said in nodes:
        assert node.process.wait(PATIENCE) == 1
        (line,) = [line for line in node.said().splitlines() if "[rcl]" not in line]
        assert re.match(f"error: .*{said}", line)


def test_one_that_hangs_is_ended_where_it_stands(tmp_path: Path) -> None:
    program = (
        "import time\nfrom regseg_ros import signals\nsignals.catch()\n"
        "signals.end_by(lambda: print('ending', flush=True), 0.2)\n"
        "print('begun', flush=True)\ntime.sleep(1000)"
    )
    node = Process([sys.executable, "-c", program], private_environment(), tmp_path / "log")
    node.until_said("begun")
    node.process.send_signal(signal.SIGINT)
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(PATIENCE) == 0
    assert node.said() == "begun\nending\nending took over 0.2 s: ended without cleaning up\n"
