"""Where bags are: found by a pattern, here or in an object store, copied, delivered."""

from __future__ import annotations

import subprocess
import sys
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
from regseg_core.bag.recording import Recording

SIZE = (96, 64)


def names_of(pattern: str) -> set[str]:
    try:
        return {bag.name for bag in find_bags(pattern)}
    except BagError:
        return set()


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_bags_are_found_by_files_or_folders(scheme: str, tmp_path: Path) -> None:
    root = bags.write_fleet(tmp_path / "logs")
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
        f"{root}/monday/[!o]*": {"two", "three"},
        f"{root}/[!b]*/one": {"monday/one"},
        f"{root}/monday[!x]one/*": set(),
        f"{root}/monday/[]^t]*": {"two", "three"},
        f"{root}/alone.mcap": {"alone"},
        f"{root}/monday/three": {"three"},
    }
    for pattern, wanted in names.items():
        assert names_of(scheme + pattern) == wanted, pattern


def test_patterns_that_fit_nothing_or_too_much(tmp_path: Path) -> None:
    bags.write_fleet(tmp_path)
    with pytest.raises(BagError, match=r"no bag fits .*/\*\.db3: give the path"):
        find_bags(f"{tmp_path}/**/*.db3")
    with pytest.raises(BagError, match="no address that can be opened"):
        find_bags("nowhere://bucket/**")
    bags.write_bag(tmp_path / "alone", bags.drive(1, SIZE))
    with pytest.raises(BagError, match=r"alone, .*alone\.mcap would have one name"):
        find_bags(f"{tmp_path}/*")


def test_labels_are_no_bags_to_label(tmp_path: Path) -> None:
    root, drive = bags.write_fleet(tmp_path / "logs"), bags.drive(1, SIZE)
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


def test_a_file_of_sqlite3_brings_its_recorders_log_along(tmp_path: Path) -> None:
    """Without it, all since the log was begun would be lost."""
    [file] = bags.bag_files(bags.write_bag(tmp_path / "drive", bags.drive(1, SIZE), "sqlite3"))
    log = file.with_name(f"{file.name}-wal")
    log.write_bytes(b"log")
    [found] = find_bags(f"file://{tmp_path}/*/*.db3")
    assert found.place.endswith("drive")
    copy = local_copy(f"file://{file}", tmp_path / "copy")
    assert copy.read_bytes() == file.read_bytes()
    assert {p.name for p in copy.parent.iterdir()} == {file.name, log.name}


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
