"""The process that compiles: it never outlives whom it works for, and what it dies of is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from waiting import until

import regseg_core.backends
from regseg_core import Segmenter

SCRIPT = Path(regseg_core.backends.__file__).with_name("compiling_process.py")


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that never ends: its process id is in that file."""
    pid, script = tmp_path / "pid", tmp_path / "python"
    script.write_text(
        f"#!{sys.executable} -S\nimport os, time\nopen('{pid}.part', 'w').write(str(os.getpid()))\n"
        f"os.rename('{pid}.part', '{pid}')\ntime.sleep(600)\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    return pid


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_ends_with_the_segmenter_that_wanted_it(
    compiler: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment = Segmenter(device="cpu", precision="float32", cache=None)
    with ThreadPoolExecutor(1) as threads:
        compiling = threads.submit(segment.compile, segment.spec(64, 64))
        until(compiler.exists)
        segment.close()
        assert compiling.result(30) == "eager"
    assert gone(int(compiler.read_text()))
    assert not segment.health.failures and "could not be compiled" not in caplog.text
    assert segment(np.zeros((64, 64, 3), np.uint8)).labels.shape == (64, 64)
    assert segment.compile(segment.spec(96, 96)) == "eager", "nothing is started any more"


def test_it_works_behind_this_process_and_frames_go_on_when_it_is_killed(compiler: Path) -> None:
    segment = Segmenter(device="cpu", precision="float32", cache=None)
    segment.warm_up(segment.spec(64, 64))
    until(compiler.exists)
    pid = int(compiler.read_text())
    until(lambda: os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        os.kill(pid, number)  # of which the others are meant for this process
    until(lambda: segment.health.failures)
    [failure] = segment.health.failures
    assert failure == (
        "openvino for 64 x 64 bgr8, float32 could not be compiled: the compiling process was ended"
        " by SIGKILL"
    )
    for _ in range(10):
        assert segment(np.zeros((64, 64, 3), np.uint8)).labels.shape == (64, 64)
    segment.close()
    assert len(segment.health.failures) == 1, "it is not begun again"


PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, sys.argv[1], str(os.getpid())])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    package = tmp_path / "regseg_core" / "backends"
    package.mkdir(parents=True)
    ready = tmp_path / "ready"
    (package / "child.py").write_text(
        f"import sys, time, pathlib\n\ndef main():\n    pathlib.Path({str(ready)!r}).write_text("
        "str(sys.path))\n    time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(SCRIPT)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        until(ready.exists)
        assert str(SCRIPT.parent) not in ready.read_text(), "its onnx.py would be the library"
    finally:
        parent.kill()
        parent.communicate()
    until(lambda: gone(pid))


def test_it_does_not_begin_where_its_parent_has_ended() -> None:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "1"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (1, "the process that wanted this has ended\n")
