"""The bags of a fleet: found by a pattern, each labelled once, whoever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import bags
import pytest

from regseg_core.bag.addresses import (
    attempt,
    deliver,
    find_bags,
    is_finished,
    joined,
    local_copy,
    split,
)
from regseg_core.bag.errors import BagError
from regseg_core.bag.fleet import Worker, Workers
from regseg_core.bag.label import Labelling, Report
from regseg_core.bag.parts import unfinished
from regseg_core.bag.recording import Recording
from regseg_core.errors import ArgumentError

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


def test_labels_are_no_bags_to_label(tmp_path: Path) -> None:
    root, drive = fleet(tmp_path / "logs"), bags.drive(1, SIZE)
    bags.write_bag(root / "labelled/monday/one", drive)
    bags.write_bag(root / "monday/two labelled", drive)
    (root / "monday/four.part").mkdir()
    bags.write_mcap(root / "monday/four.part/four_0.mcap", drive)
    wanted = {"monday/one", "monday/two", "monday/two labelled", "alone"}
    for place in (str(root), f"file://{root}"):
        for out in ("labelled", "monday/../labelled"):
            assert {bag.name for bag in find_bags(f"{place}/**", f"{place}/{out}")} == wanted
        assert len(find_bags(f"{place}/**", f"{tmp_path}/elsewhere")) == 5
        with pytest.raises(BagError, match="is where the bags are: give another folder"):
            find_bags(f"{place}/**", place)
    for bag in find_bags(f"file://{root}/**/* labelled"):
        assert local_copy(bag.place, tmp_path / "copy").name == "two labelled"


def test_a_bag_in_a_folder_of_another_ones_name(tmp_path: Path) -> None:
    (tmp_path / "monday").mkdir()
    for name in ("monday.mcap", "monday/x.mcap"):
        bags.write_mcap(tmp_path / name, bags.drive(1, SIZE))
    with pytest.raises(BagError, match=r"labels of .*/x\.mcap would lie in the bag monday: rename"):
        find_bags(f"{tmp_path}/**")


@pytest.mark.parametrize(
    ("pattern", "base", "wild", "place"),
    [
        ("s3://b/logs/**", "s3://b/logs", "**", "s3://b/logs/a/x%20y.mcap"),
        (
            "s3://k:s@b/logs/*?endpoint_override=minio:9000&scheme=http",
            "s3://k:s@b/logs?endpoint_override=minio:9000&scheme=http",
            "*",
            "s3://k:s@b/logs/a/x%20y.mcap?endpoint_override=minio:9000&scheme=http",
        ),
        (
            "s3://b/2026-0?/a.mcap?region=eu",
            "s3://b/?region=eu",
            "2026-0?/a.mcap",
            "s3://b/a/x%20y.mcap?region=eu",
        ),
        ("s3://b/a%20b/c%20*", "s3://b/a%20b", "c *", "s3://b/a%20b/a/x%20y.mcap"),
        ("s3://b/**", "s3://b/", "**", "s3://b/a/x%20y.mcap"),
        (
            "abfss://cont@acc.dfs.core.windows.net/logs/**",
            "abfss://cont@acc.dfs.core.windows.net/logs",
            "**",
            "abfss://cont@acc.dfs.core.windows.net/logs/a/x%20y.mcap",
        ),
        ("/logs/a?b=c/*", "/logs", "a?b=c/*", "/logs/a/x y.mcap"),
        ("/*", "/", "*", "/a/x y.mcap"),
        ("*.mcap", ".", "*.mcap", "./a/x y.mcap"),
    ],
)
def test_an_address_keeps_its_account_and_query(
    pattern: str, base: str, wild: str, place: str
) -> None:
    assert split(pattern) == (base, wild)
    assert joined(base, "a/x y.mcap") == place


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


@pytest.mark.integration
def test_a_bag_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    place = str(tmp_path / "out/bag")
    for _ in range(3):  # an attempt that comes to an end, even by an error, is none that kills
        with pytest.raises(OSError, match="full"), attempt(place, 2, "first", "pc:1"):
            raise OSError("the disk is full")
    script = f"""
import os, sys
from regseg_core.bag.addresses import attempt
with attempt({place!r}, 2, sys.argv[1], "pc:" + sys.argv[2]):
    os._exit(9)
"""
    for run, worker in [("first", "2"), ("second", "3"), ("second", "4")]:
        assert subprocess.run([sys.executable, "-c", script, run, worker]).returncode == 9
    with (
        pytest.raises(BagError, match=r"2 workers died of it \(pc:3, pc:4\)"),
        attempt(place, 2, "second", "pc:5"),
    ):
        pass
    with attempt(place, 2, "third", "pc:6"):  # what ended another run need not be the bag
        pass
    assert not [*(tmp_path / "out").iterdir()]


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
def test_a_worker_that_dies_is_replaced_and_its_bag_redone(tmp_path: Path) -> None:
    root, out = fleet(tmp_path / "logs", frames=150), tmp_path / "labelled"
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


@pytest.mark.slow
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


def test_weights_are_looked_for_before_workers_start() -> None:
    asked = command("x", Path("y"), "--weights", "none.safetensors")
    said = subprocess.run(asked, capture_output=True, text=True)
    assert said.returncode == 1 and said.stderr.startswith("error: no weights 'none.safetensors'")
