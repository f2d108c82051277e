"""The bags of a fleet: each labelled once, whoever dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import bags
import pytest

from regseg_core import Segmenter
from regseg_core.bag.__main__ import main
from regseg_core.bag.fleet import Worker, Workers, label_fleet
from regseg_core.bag.label import Labelling, Report
from regseg_core.bag.parts import unfinished
from regseg_core.bag.recording import Recording
from regseg_core.errors import ArgumentError

SIZE = (96, 64)


def test_the_report_is_written_where_the_labels_are(segment: Segmenter, tmp_path: Path) -> None:
    source = bags.write_bag(tmp_path / "logs/one", bags.drive(1, SIZE))
    labelling, out = Labelling(segment, ["label"], quiet=True), tmp_path / "store"
    labelling(source, out / "one")
    label_fleet(f"{source.parent}/*", f"file://{out}", lambda: labelling, Workers(1))
    [report] = json.loads((out / "fleet.json").read_text())
    assert report["bag"] == str(source) and report["frames"] == 2


class FullMemory(Labelling):
    """As on a machine with too little of it."""

    def __init__(self) -> None:
        pass

    def __call__(
        self, source: Path, out: Path, asked: Sequence[str] = (), resume: bool = False
    ) -> Report:
        raise MemoryError(f"no room for {source.name}")


def test_a_bug_costs_one_bag(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(FullMemory, [], str(tmp_path / "out"), "run")
    report = worker({"place": str(tmp_path / "one"), "name": "one"})
    assert report["failure"] == "MemoryError: no room for one"
    assert report["worker"].endswith(f":{os.getpid()}")
    assert "Traceback" in caplog.text and "one cannot be labelled" in caplog.text
    assert not [*(tmp_path / "out").iterdir()]


def test_machines_have_room_for_whole_workers() -> None:
    assert Workers(1, 0.1).room(0.3, 0) == 3
    assert Workers(1, 4).room(7, 0) == 1
    assert Workers(1, 1, 1).room(16, 2) == 2
    assert Workers(1, 1, 0.5).room(3, 2) == 3
    with pytest.raises(ArgumentError, match="whole GPUs, or a part of one"):
        Workers(1, 1, 1.5)


def begun(out: Path) -> dict[str, int]:
    """The bags that are being labelled, each with its worker's process."""
    found = {}
    for note in out.rglob("*.attempts"):
        with suppress(OSError, IndexError):  # it has just ended, or begun
            found[note.stem] = int(note.read_text().split()[-1].rpartition(":")[2])
    return found


CPU = "--device cpu --backend eager --precision float32 --outputs label"


def command(source: str, out: Path, *more: str) -> list[str]:
    label = [sys.executable, "-m", "regseg_core.bag", "label", source, str(out), *CPU.split()]
    return [*label, "--ray", "local", "--workers", "2", "--cpus", "0.5", *more]


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_worker_that_dies_is_replaced_and_its_bag_redone(tmp_path: Path) -> None:
    root, out = bags.write_fleet(tmp_path / "logs", SIZE, frames=150), tmp_path / "labelled"
    damaged = bags.write_bag(root / "damaged", bags.drive(3, SIZE))
    bags.cut_off(bags.bag_files(damaged)[0], 100)
    log = (tmp_path / "log").open("w+")
    with subprocess.Popen(command(f"{root}/**", out), stdout=log, stderr=log) as process:
        deadline = time.monotonic() + 120
        while len({*(working := begun(out)).values()}) < 2 or not [*out.rglob("*.part")]:
            assert process.poll() is None and time.monotonic() < deadline, Path(
                log.name
            ).read_text()
            time.sleep(0.05)
        working.pop("damaged", None)
        bag, killed = working.popitem()
        os.kill(killed, signal.SIGKILL)
        ended = process.wait(300)
    said = Path(log.name).read_text()
    assert ended == 1 and "labelled 3 of 4 bags" in said and "error: " in said, said
    for name in ("monday/one", "monday/two", "alone"):
        with Recording(out / name) as recording:
            for topic in ("/regseg/front/label", "/regseg/rear/label"):
                times = [message.time_ns for message in recording.messages([topic])]
                assert len(times) == len(set(times)) == 150
        assert not unfinished(out / name).exists()
    reports = {Path(r["bag"]).stem: r for r in json.loads((out / "fleet.json").read_text())}
    assert reports["one"]["frames"] == 300 and not reports["one"]["failure"]
    assert reports["damaged"]["failure"] and reports["damaged"]["frames"] == 0
    assert not reports[bag]["worker"].endswith(f":{killed}")
    assert len({report["worker"] for report in reports.values()}) > 1
    written = (out / "monday/one/metadata.yaml").stat().st_mtime_ns
    again = subprocess.run(command(f"{root}/**", out), capture_output=True, text=True)
    assert again.returncode == 1 and again.stdout.count("is done already") == 3, again.stderr
    assert (out / "monday/one/metadata.yaml").stat().st_mtime_ns == written
    reports = {Path(r["bag"]).name: r for r in json.loads((out / "fleet.json").read_text())}
    assert reports["one"]["frames"] == 300 and reports["damaged"]["failure"]


def test_workers_have_cores() -> None:
    said = subprocess.run(command("x", Path("y"), "--cpus", "0"), capture_output=True, text=True)
    assert said.returncode == 1 and said.stderr == (
        "error: give at least one worker, and CPUs for each of them\n"
    )


def test_workers_without_a_cluster_are_refused() -> None:
    asked = ["label", "x", "y", "--workers", "2", "--gpus", "0"]
    with pytest.raises(
        SystemExit, match="error: --workers, --gpus without --ray: give --ray local"
    ):
        main(asked)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")  # `auto` finds the cluster of a test beside it
def test_workers_that_fit_nowhere(tmp_path: Path) -> None:
    bags.write_mcap(tmp_path / "one.mcap", bags.drive(1, SIZE))
    asked = command(f"{tmp_path}/*", tmp_path / "out", "--gpus", "64")
    # Somebody's cluster, which local is not.
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:9"}
    said = subprocess.run(asked, capture_output=True, text=True, env=environment)
    assert said.returncode == 1 and said.stderr.splitlines()[-1].startswith(
        "error: no room for 1 workers with 0.5 CPUs and 64 GPUs each, only for 0: Ray has 1 machine"
    ), said.stderr
    said = subprocess.run([*asked, "--ray", "auto"], capture_output=True, text=True)
    assert said.returncode == 1 and "\nerror: no cluster of Ray at auto: " in f"\n{said.stderr}"
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer(scheme: str, tmp_path: Path) -> None:
    bags.write_mcap(tmp_path / "one.mcap", bags.drive(1, SIZE))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"{scheme}127.0.0.1:{unused.getsockname()[1]}"
        asked = command(f"{tmp_path}/*", tmp_path / "out", "--ray", address)
        said = subprocess.run(asked, capture_output=True, text=True)
    assert said.returncode == 1 and said.stderr.splitlines()[-1].startswith(
        f"error: no cluster of Ray at {address}: [Errno 111] Connection refused"
    ), said.stderr


def test_weights_are_looked_for_before_workers_start() -> None:
    asked = command("x", Path("y"), "--weights", "none.safetensors")
    said = subprocess.run(asked, capture_output=True, text=True)
    assert said.returncode == 1 and said.stderr.startswith("error: no weights 'none.safetensors'")
