"""While a backend compiles the node answers, ends and goes on: the compiler here is stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from processes import children
from rig import Rig, image, status

from regseg_core.arrays import Image
from regseg_core.data.synthetic import SyntheticStreets

pytestmark = pytest.mark.integration

NAMED = ("-p", "backend:=openvino", "-p", "precision:=float32", "-p", "warm_up:='64x96 rgb8'")


def street() -> Image:
    return SyntheticStreets(1, 96, 64)[0][0]


def gone(pid: int) -> bool:
    """Whether a process has ended; its parent may not have noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def compilers(node: int) -> set[int]:
    """The processes that compile for a node, once they have begun."""
    begun = set()
    for number in children(node):
        process = Path(f"/proc/{number}")
        with suppress(FileNotFoundError, ProcessLookupError):  # It has ended since.
            # A process that is just being forked still shows the node's own libraries.
            compiling = b"compiling_process" in (process / "cmdline").read_bytes()
            if compiling and "libtorch" in (process / "maps").read_text():
                begun.add(number)
    return begun


@pytest.fixture
def stopped(fresh: Rig, tmp_path: Path) -> Callable[..., int]:
    """Starts a node, and stops the process that compiles for it; gives that one's id."""

    def start(*arguments: str) -> int:
        fresh.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        fresh.start(*arguments)
        assert fresh.process is not None
        title = "openvino for 64 x 96 rgb8, float32, with confidence"
        fresh.until_said(f"compiling {title}")
        node, found = fresh.process.pid, set[int]()

        def seen() -> set[int]:
            found.update(compilers(node))
            return found

        fresh.until(seen)
        (pid,) = found
        os.kill(pid, signal.SIGSTOP)
        fresh.until_said("active:")
        assert f"compiled {title}" not in fresh.said()
        return pid

    return start


def test_the_node_answers_and_changes_its_state_while_a_named_backend_compiles(
    fresh: Rig, stopped: Callable[..., int]
) -> None:
    compiler = stopped(*NAMED)

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(fresh.call(ChangeState, "/regseg/change_state", request).success)

    def state() -> Any:
        return fresh.call(GetState, "/regseg/get_state", GetState.Request()).current_state.label

    assert state() == "active"
    labels = fresh.listen("/regseg/label")
    fresh.until_connected()

    def dropped() -> bool:
        fresh.send(image(street(), "rgb8"))
        found = status(fresh)
        assert found["compiling"] == "openvino for 64 x 96 rgb8, float32, with confidence"
        return int(found["dropped"]) > 0

    fresh.until(dropped)
    assert change(Transition.TRANSITION_DEACTIVATE) and state() == "inactive"
    assert change(Transition.TRANSITION_ACTIVATE) and state() == "active"
    os.kill(compiler, signal.SIGCONT)
    fresh.until_said("warmed up for 64 x 96 rgb8, float32, with confidence in ")
    fresh.send_until(image(street(), "rgb8"), lambda: labels)
    assert fresh.said().count("compiling openvino") == 1
    assert "compiled openvino for 64 x 96 rgb8, float32, with confidence in " in fresh.said()
    assert status(fresh)["failed"] == "0"
    assert fresh.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_and_its_compiler(
    number: signal.Signals, fresh: Rig, stopped: Callable[..., int]
) -> None:
    compiler = stopped(*NAMED)
    # As by a terminal or a service manager: to the whole group.
    os.kill(compiler, number)
    assert fresh.stop(number) == 0
    fresh.until(lambda: gone(compiler))
    for words in ("Traceback", "could not be compiled", "without cleaning up"):
        assert words not in fresh.said()


def test_a_compiler_ends_with_a_node_that_is_killed(
    fresh: Rig, stopped: Callable[..., int]
) -> None:
    compiler = stopped(*NAMED)
    assert fresh.stop(signal.SIGKILL) == -signal.SIGKILL
    fresh.until(lambda: gone(compiler))


def test_frames_go_on_when_the_compiler_is_killed(fresh: Rig, stopped: Callable[..., int]) -> None:
    compiler = stopped("-p", "backend:=auto", *NAMED[2:])
    labels = fresh.listen("/regseg/label")
    fresh.until_connected()
    fresh.send_until(image(street(), "rgb8"), lambda: labels)
    os.kill(compiler, signal.SIGKILL)
    fresh.until_said("could not be compiled: the compiling process was ended by SIGKILL")
    labels.clear()
    fresh.send_until(image(street(), "rgb8"), lambda: labels)
    found = status(fresh)
    assert "ended by SIGKILL" in found["backend failures"]
    assert (found["failed"], found["compiling"]) == ("0", "nothing")
