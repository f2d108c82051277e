"""Requests that make no sense, over DDS: each is refused, and the node goes on."""

from __future__ import annotations

import math
import os
import pickle
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rig import Rig, image, rig, status
from std_srvs.srv import Trigger

from regseg_core import create_model
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.labels import CAMVID
from regseg_core.weights import ModelCard, save_weights
from regseg_core.zoo import find
from regseg_ros.settings import AT_LOADING, LIVE, SegmenterSettings, described

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("requests")]

FRAME = SyntheticStreets(1, 96, 64)[0][0]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("requests")) as made:
        made.start()
        made.until_said("active:")
        made.listen("/regseg/label")
        yield made


def go_on(running: Rig) -> None:
    """The next frame is segmented."""
    (labels,) = running.heard
    sent = image(FRAME, "rgb8")
    running.send_until(sent, lambda: labels and labels[-1].header == sent.header)


VALUES: dict[str, dict[str, Any]] = {
    "NOT_SET": {},
    "BOOL": {"bool_value": True},
    "INTEGER": {"integer_value": -(2**63)},
    "DOUBLE": {"double_value": math.nan},
    "STRING": {"string_value": "x" * 10_000},
    "BYTE_ARRAY": {"byte_array_value": [b"\xff"]},
    "BOOL_ARRAY": {"bool_array_value": [True]},
    "INTEGER_ARRAY": {"integer_array_value": [1]},
    "DOUBLE_ARRAY": {"double_array_value": [math.inf]},
    "STRING_ARRAY": {"string_array_value": ["nothing", "\0", "\N{SNOWMAN}"]},
}


def value(kind: str, **field: Any) -> ParameterValue:
    return ParameterValue(type=getattr(ParameterType, f"PARAMETER_{kind}"), **field)


def put(running: Rig, *given: tuple[str, ParameterValue]) -> list[str]:
    """Sets parameters one by one; returns why each was refused, empty where it was not."""
    request = SetParameters.Request(parameters=[Parameter(name=n, value=v) for n, v in given])
    results = running.call(SetParameters, "/regseg/set_parameters", request).results
    assert len(results) == len(given)
    assert all(result.successful != bool(result.reason) for result in results)
    return [result.reason for result in results]


SETTINGS = described(SegmenterSettings)


@pytest.mark.parametrize("kind", VALUES)
def test_parameters_of_every_type(kind: str, running: Rig) -> None:
    # A text for weights is taken: what it names is looked for by ~/load_weights.
    names = [n for n, (_, e) in SETTINGS.items() if kind != "STRING" or e.read != AT_LOADING]
    names += ["class_names", "class_ids", "class_colors", "nothing", "a b", "front.qos"]
    reasons = put(running, *[(name, value(kind, **VALUES[kind])) for name in names])
    assert [name for name, reason in zip(names, reasons, strict=True) if not reason] == []
    go_on(running)


def test_numbers_out_of_range(running: Rig) -> None:
    live = [name for name, (_, entry) in SETTINGS.items() if entry.read == LIVE and entry.limits]
    assert len(live) > 3
    for name in live:
        default, entry = SETTINGS[name]
        low, high = entry.limits or (0.0, 0.0)
        whole = [int(low) - 1, int(high) + 1, -(2**63), 2**63 - 1]
        numbers = (low - 1e-3, high * 1.01, -math.inf, math.inf, math.nan, -1e308)
        if isinstance(default, tuple):
            one = int(high)
            values = [value("INTEGER_ARRAY", integer_array_value=[one, n]) for n in whole]
        elif isinstance(default, int):
            values = [value("INTEGER", integer_value=n) for n in whole]
        else:
            values = [value("DOUBLE", double_value=n) for n in numbers]
        reasons = put(running, *[(name, given) for given in values])
        assert all("range" in reason for reason in reasons), name
    go_on(running)


def test_a_value_of_no_type_at_all(running: Rig) -> None:
    """rclpy raises for it, and does not answer."""
    given = Parameter(name="max_rate", value=ParameterValue(type=77))
    client = running.client(SetParameters, "/regseg/set_parameters")
    client.call_async(SetParameters.Request(parameters=[given]))
    running.until_said("a callback failed, the node goes on:")
    go_on(running)
    assert all(put(running, ("max_rate", value("DOUBLE", double_value=-1.0))))


def test_a_simulator_that_stands_still(running: Rig) -> None:
    assert put(running, ("use_sim_time", value("BOOL", bool_value=True))) == [""]
    running.forget()
    running.until(lambda: running.camera.get_subscription_count() == 0)
    running.listen("/regseg/label")
    go_on(running)
    assert int(status(running)["segmented"]) > 0
    assert put(running, ("use_sim_time", value("BOOL", bool_value=False))) == [""]
    running.forget()
    running.listen("/regseg/label")


CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = range(1, 5)
STATES = {
    "active": ([], [], {DEACTIVATE, 7}),
    "inactive": ([DEACTIVATE], [ACTIVATE], {CLEANUP, ACTIVATE, 6}),
    "unconfigured": ([DEACTIVATE, CLEANUP], [CONFIGURE, ACTIVATE], {CONFIGURE, 5}),
}


def change(running: Rig, number: int, label: str = "") -> bool:
    request = ChangeState.Request(transition=Transition(id=number, label=label))
    return bool(running.call(ChangeState, "/regseg/change_state", request).success)


def state(running: Rig) -> str:
    return str(running.call(GetState, "/regseg/get_state", GetState.Request()).current_state.label)


@pytest.mark.parametrize("name", STATES)
def test_transitions_that_a_state_does_not_allow(name: str, running: Rig) -> None:
    down, up, allowed = STATES[name]
    for transition in down:
        assert change(running, transition)
    for number in {*range(9), 10, 11, 12, 20, 30, 40, 50, 60, 61, 62, 99, 255} - allowed:
        assert not change(running, number)
    for label in ("transition_success", "transition_error", "destroy", "\N{SNOWMAN}", "x" * 9999):
        assert not change(running, 0, label)
    assert state(running) == name
    for transition in up:
        assert change(running, transition)
    assert state(running) == "active"
    go_on(running)


def test_transitions_in_the_middle_of_frames(running: Rig) -> None:
    large = image(SyntheticStreets(1, 240, 180)[0][0], "rgb8")
    for turn in range(2):
        for transition in (DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE):
            client = running.client(ChangeState, "/regseg/change_state")
            request = ChangeState.Request(transition=Transition(id=transition))
            future = client.call_async(request)
            while not future.done():
                running.send(large)
                running.spin(0.01)
            assert future.result().success
        # Another moment of a frame each time.
        end = time.monotonic() + 0.2 + 0.03 * turn
        while time.monotonic() < end:
            running.send(large)
            running.spin(0.01)
    assert state(running) == "active"
    go_on(running)


class Attack:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.victim),)


@pytest.fixture(scope="module")
def bad_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    whole = find("regseg48-camvid").read_bytes()
    paths = {name: folder / name for name in ("absent.pth", "cut.safetensors", "noise.safetensors")}
    paths["cut.safetensors"].write_bytes(whole[: len(whole) // 2])
    paths["noise.safetensors"].write_bytes(struct.pack("<Q", 2**62) + bytes(1000))
    paths["folder"] = folder
    # The card says regseg48, what is inside is another network.
    card = ModelCard("regseg48", CAMVID)
    paths["other.safetensors"] = folder / "other.safetensors"
    save_weights(paths["other.safetensors"], create_model("regseg53", 11), card)
    for name, write in (("pickle.pth", pickle.dump), ("torch.pth", torch.save)):
        paths[name] = folder / name
        with paths[name].open("wb") as file:
            write({"model": {"stem.conv.weight": Attack(folder / "executed")}}, file)
    return paths


NAMES = [
    *("absent.pth", "cut.safetensors", "noise.safetensors", "folder", "other.safetensors"),
    *("pickle.pth", "torch.pth"),
]


@pytest.mark.parametrize("name", NAMES)
def test_bad_weights(name: str, running: Rig, bad_weights: dict[str, Path]) -> None:
    def give(text: str, model: str, labels: str) -> None:
        given = {"weights": text, "model": model, "labels": labels}
        wanted = [(name, value("STRING", string_value=entry)) for name, entry in given.items()]
        assert put(running, *wanted) == ["", "", ""]

    give(str(bad_weights[name]), "regseg48", "camvid")
    answer = running.call(Trigger, "/regseg/load_weights", Trigger.Request())
    assert not answer.success and "still running: regseg48-camvid" in answer.message
    go_on(running)

    assert change(running, DEACTIVATE) and change(running, CLEANUP)
    give(str(bad_weights[name]), "regseg48", "camvid")
    assert not change(running, CONFIGURE) and state(running) == "unconfigured"
    give("regseg48-camvid", "", "")
    assert change(running, CONFIGURE) and change(running, ACTIVATE)
    go_on(running)
    assert not (bad_weights["folder"] / "executed").exists()


def test_a_cleanup_while_weights_are_loaded(running: Rig) -> None:
    client = running.client(Trigger, "/regseg/load_weights")
    for _ in range(2):
        client.call_async(Trigger.Request())
        for transition in (DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE):
            assert change(running, transition)
        running.until(client.service_is_ready)
        go_on(running)
    assert running.call(Trigger, "/regseg/load_weights", Trigger.Request()).success
    go_on(running)
    assert running.said().count("Traceback") <= 1, "that of a value of no type at all"
