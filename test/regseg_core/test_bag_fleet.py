"""The bags of a fleet: found by a pattern, each labelled once, whoever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bags
import pytest

from regseg_core.bag.addresses import attempt, deliver, find_bags, is_finished, local_copy
from regseg_core.bag.errors import BagError
from regseg_core.bag.parts import unfinished
from regseg_core.bag.recording import Recording

SIZE = (96, 64)


def fleet(root: Path, frames: int = 2) -> Path:
    """Two bags in folders, one of them split, and one file alone."""
    drive = bags.drive(frames, SIZE)
    bags.write_bag(root / "monday/one", drive)
    bags.write_bag(root / "monday/two", drive, "mcap", files=2)
    bags.write_mcap(root / "alone.mcap", drive)
    return root


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_bags_are_found_by_files_or_folders(scheme: str, tmp_path: Path) -> None:
    root = fleet(tmp_path / "logs")
    bags.write_bag(root / "monday/three", bags.drive(1, SIZE), "sqlite3")
    found = find_bags(f"{scheme}{root}/**/*.mcap")
    assert {bag.name: bag.place for bag in found} == {
        "monday/one": f"{scheme}{root}/monday/one",
        "monday/two": f"{scheme}{root}/monday/two",
        "alone": f"{scheme}{root}/alone.mcap",
    }
    names = {
        f"{root}/**": {"monday/one", "monday/two", "monday/three", "alone"},
        f"{root}/*": {"alone"},
        f"{root}/monday/t*": {"two", "three"},
        f"{root}/monday/t?o": {"two"},
        f"{root}/monday/[ot]*": {"one", "two", "three"},
        f"{root}/alone.mcap": {"alone"},
        f"{root}/monday/three": {"three"},
    }
    for pattern, wanted in names.items():
        assert {bag.name for bag in find_bags(scheme + pattern)} == wanted, pattern


def test_patterns_that_fit_nothing_or_too_much(tmp_path: Path) -> None:
    fleet(tmp_path)
    with pytest.raises(BagError, match=r"no bag fits .*/\*\.db3: give the path"):
        find_bags(f"{tmp_path}/**/*.db3")
    with pytest.raises(BagError, match="no address that can be opened"):
        find_bags("nowhere://bucket/**")
    bags.write_bag(tmp_path / "alone", bags.drive(1, SIZE))
    with pytest.raises(BagError, match=r"alone, .*alone\.mcap would have one name"):
        find_bags(f"{tmp_path}/*")


def test_a_bag_goes_to_an_address_and_back(tmp_path: Path) -> None:
    source = bags.write_bag(tmp_path / "drive", bags.drive(2, SIZE), files=2)
    place = f"file://{tmp_path}/store/labelled"
    assert not is_finished(place)
    deliver(source, place)
    assert is_finished(place)
    copy = local_copy(place, tmp_path / "copy")
    assert {p.name for p in copy.iterdir()} == {p.name for p in source.iterdir()}
    with Recording(copy) as recording:
        assert len([*recording.messages()]) == 6


def test_a_bag_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    place = str(tmp_path / "out/bag")
    for _ in range(3):  # an attempt that comes to an end, even by an error, is none that kills
        with pytest.raises(OSError, match="full"), attempt(place, 2):
            raise OSError("the disk is full")
    script = f"""
import os
from regseg_core.bag.addresses import attempt
with attempt({place!r}, 2):
    os._exit(9)
"""
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    with pytest.raises(BagError, match="2 workers died of it"), attempt(place, 2):
        pass


def children(process: int) -> Iterator[int]:
    """All processes below one."""
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from children(child)


def workers(driver: int) -> list[int]:
    """Ray's processes that label: it names them after what they do."""
    found = []
    for process in children(driver):
        try:
            name = Path(f"/proc/{process}/cmdline").read_text()
        except OSError:  # it has just ended
            continue
        if name.startswith("ray::") and "Worker" in name:
            found.append(process)
    return found


CPU = "--device cpu --backend eager --precision float32 --outputs label"


def command(source: str, out: Path, *more: str) -> list[str]:
    label = [sys.executable, "-m", "regseg_core.bag", "label", source, str(out), *CPU.split()]
    return [*label, "--ray", "local", "--workers", "2", "--cpus", "0.5", *more]


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_bag_redone(tmp_path: Path) -> None:
    root, out = fleet(tmp_path / "logs", frames=150), tmp_path / "labelled"
    damaged = bags.write_bag(root / "damaged", bags.drive(3, SIZE))
    bags.cut_off(bags.bag_files(damaged)[0], 100)
    log = (tmp_path / "log").open("w+")
    with subprocess.Popen(command(f"{root}/**", out), stdout=log, stderr=log) as process:
        deadline = time.monotonic() + 120
        while not [*out.rglob("*.part")]:
            assert process.poll() is None and time.monotonic() < deadline, Path(
                log.name
            ).read_text()
            time.sleep(0.05)
        os.kill(workers(process.pid)[0], signal.SIGKILL)
        ended = process.wait(300)
    said = Path(log.name).read_text()
    assert ended == 1 and "labelled 3 of 4 bags" in said and "error: " in said, said
    for name in ("monday/one", "monday/two", "alone"):
        with Recording(out / name) as recording:
            for topic in ("/regseg/front/label", "/regseg/rear/label"):
                times = [message.time_ns for message in recording.messages([topic])]
                assert len(times) == len(set(times)) == 150
        assert not unfinished(out / name).exists()
    reports = {Path(r["bag"]).name: r for r in json.loads((out / "fleet.json").read_text())}
    assert reports["one"]["frames"] == 300 and not reports["one"]["failure"]
    assert reports["damaged"]["failure"] and reports["damaged"]["frames"] == 0
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
