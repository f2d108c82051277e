"""What the commands share: errors in one line, and a look at where results go."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from regseg_core import evaluate, predict, report, train
from regseg_core.bag import __main__ as bag
from regseg_core.benchmark import __main__ as benchmark
from regseg_core.cli import at_least, errors_in_one_line
from regseg_core.data.labelled import DataError
from regseg_core.errors import ArgumentError, FrameError, RegSegError
from regseg_core.files import FileError, check_folder, check_writable
from regseg_core.labels import LabelError
from regseg_core.media import (
    CutOffError,
    MediaError,
)
from regseg_core.training.run import RunError
from regseg_core.training.task import DivergedError


def test_what_could_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    before = sorted(tmp_path.rglob("*"))
    for good in ("new.json", "file", "new/deep/er.json", "folder/new.json"):
        check_writable(tmp_path / good)
    check_folder(tmp_path / "new" / "folder")
    with pytest.raises(FileError, match="folder: it is a folder"):
        check_writable(tmp_path / "folder")
    for bad in ("file/new.json", "file/new/deep/er.json", "nowhere/new.json"):
        with pytest.raises(FileError, match=r"cannot write into .*(file|nowhere)"):
            check_writable(tmp_path / bad)
    with pytest.raises(FileError, match=r"cannot write into .*file: Not a directory"):
        check_folder(tmp_path / "file")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("what", ["loader", "graph"])
def test_a_benchmark_looks_first_where_it_writes(what: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit, match=r"error: cannot write into .*file"):
        benchmark.main([what, "--out", str(tmp_path / "file")])


@pytest.mark.parametrize(
    "kind",
    [
        ArgumentError,
        FrameError,
        LabelError,
        DataError,
        FileError,
        MediaError,
        CutOffError,
        RunError,
        DivergedError,
    ],
)
def test_errors_of_the_domain_end_a_command_with_one_line(kind: type[RegSegError]) -> None:
    with pytest.raises(SystemExit, match=r"^error: what is wrong$"), errors_in_one_line():
        raise kind("what is wrong")
    with pytest.raises(kind), errors_in_one_line(debug=True):
        raise kind("what is wrong")


def test_bugs_keep_their_traceback() -> None:
    with pytest.raises(ValueError, match="broadcast"), errors_in_one_line():
        np.zeros(3) + np.zeros(4)


@pytest.mark.parametrize(
    ("command", "arguments", "kind"),
    [
        (predict.main, "none.png -o out", MediaError),
        (evaluate.main, "--data none", DataError),
        (report.main, "none", FileNotFoundError),
        (train.main, "--data none --out {0}/run", DataError),
        (benchmark.main, "loader --out {0}/file", FileError),
    ],
)
def test_debug_shows_tracebacks(
    command: Callable[[list[str]], None], arguments: str, kind: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    given = arguments.format(tmp_path).split()
    with pytest.raises(SystemExit, match="error: "):
        command(given)
    with pytest.raises(kind):
        command([*given, "--debug"])


def test_debug_may_stand_before_what_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError):
        benchmark.main(["--debug", "graph", "--out", str(tmp_path / "file")])


@pytest.mark.parametrize(
    ("command", "part", "defaults"),
    [
        (bag.main, "label", ["['label', 'mask']", "mcap", "1", "auto"]),
        (bag.main, "mine", ["500", "entropy", "0.2", "eager"]),
        (benchmark.main, "networks", ["512x1024", "5", "15.0"]),
    ],
)
def test_the_help_of_a_part_shows_its_defaults(
    command: Callable[[list[str]], None],
    part: str,
    defaults: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        command([part, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for default in defaults:
        assert f"(default: {default})" in said
    assert "(default: None)" not in said and "(default: [])" not in said


def test_whole_numbers_of_options() -> None:
    assert at_least(0)("0") == 0 and at_least(1)("12") == 12
    for text in ("0", "-2", "1.5", "many"):
        with pytest.raises(argparse.ArgumentTypeError, match="not a whole number from 1 on"):
            at_least(1)(text)
