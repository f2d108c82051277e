"""The node's life: transitions, wrong parameters, signals."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rig import Rig, image

from regseg_core.data.synthetic import SyntheticStreet

pytestmark = pytest.mark.integration


def frame(time_of_scene: float = 0.0, size: tuple[int, int] = (480, 360)) -> npt.NDArray[np.uint8]:
    return SyntheticStreet(*size).frame(time_of_scene)[0]


def test_lifecycle_twice_over(fresh: Rig) -> None:
    fresh.start("-p", "autostart:=false")

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(fresh.call(ChangeState, "/regseg/change_state", request).success)

    def state() -> str:
        return str(
            fresh.call(GetState, "/regseg/get_state", GetState.Request()).current_state.label
        )

    masks = fresh.listen("/regseg/mask")
    assert state() == "unconfigured"
    for _ in range(2):
        assert change(Transition.TRANSITION_CONFIGURE)
        assert state() == "inactive"
        assert fresh.camera.get_subscription_count() == 0
        assert change(Transition.TRANSITION_ACTIVATE)
        assert state() == "active"
        fresh.until_connected()
        masks.clear()
        sent = fresh.send_until(image(frame(), "rgb8"), lambda: masks)
        assert masks[0].header == sent.header
        assert not change(Transition.TRANSITION_CONFIGURE), "impossible while active"
        assert state() == "active"
        assert change(Transition.TRANSITION_DEACTIVATE)
        fresh.until(lambda: fresh.camera.get_subscription_count() == 0)
        masks.clear()
        fresh.send(image(frame(), "rgb8"))
        fresh.spin(0.5)
        assert masks == []
        assert change(Transition.TRANSITION_CLEANUP)
        assert state() == "unconfigured"
        fresh.until(lambda: fresh.node.count_publishers("/regseg/mask") == 0)
    assert change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert "Traceback" not in fresh.said()


def test_a_transition_that_fails_says_why_and_can_be_tried_again(fresh: Rig) -> None:
    fresh.start("-p", "autostart:=false", "-p", "weights:=nothing")
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert not fresh.call(ChangeState, "/regseg/change_state", request).success
    fresh.until_said("configure failed: no weights 'nothing': give a file, or one of")
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="regseg48-camvid")
    change = SetParameters.Request(parameters=[Parameter(name="weights", value=value)])
    fresh.call(SetParameters, "/regseg/set_parameters", change)
    assert fresh.call(ChangeState, "/regseg/change_state", request).success


def test_parameters_that_are_none_are_warned_of(fresh: Rig) -> None:
    given = ("camera_hight:=1.6", "rear.rotate:=90", "use_sim_time:=false")
    fresh.start(*(flag for one in given for flag in ("-p", one)))
    fresh.until_said("active:")
    text = "is no parameter and does nothing: did you mean"
    assert f"camera_hight {text} camera_height" in fresh.said()
    assert f"rear.rotate {text} rotate" in fresh.said()
    assert "use_sim_time is" not in fresh.said()


def test_a_failed_transition_leaves_nothing_behind(fresh: Rig) -> None:
    fresh.start("-p", "autostart:=false", "-p", "image_topic:=/not a topic")

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(fresh.call(ChangeState, "/regseg/change_state", request).success)

    assert change(Transition.TRANSITION_CONFIGURE)
    for _ in range(2):
        assert not change(Transition.TRANSITION_ACTIVATE)
    fresh.until_said("activate failed:", times=2)
    assert change(Transition.TRANSITION_CLEANUP)
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="/camera/image_raw")
    setting = SetParameters.Request(parameters=[Parameter(name="image_topic", value=value)])
    fresh.call(SetParameters, "/regseg/set_parameters", setting)
    assert change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)
    masks = fresh.listen("/regseg/mask")
    fresh.until_connected()
    fresh.send_until(image(frame(), "rgb8"), lambda: masks)
    assert fresh.stop() == 0


@pytest.mark.parametrize(
    ("module", "setting", "reason"),
    [
        ("segmenter", "overlay_alpha:=2.0", "overlay_alpha"),
        ("segmenter", "overlay_alpha:=high", "overlay_alpha"),
        ("video_source", "width:=16", "width"),
        ("video_source", "encoding:=holo9", "encoding 'holo9': give one of rgb8"),
        ("recorder", "rate:=-1.0", "rate"),
    ],
)
def test_wrong_parameters_end_with_one_line(
    module: str, setting: str, reason: str, fresh: Rig
) -> None:
    fresh.start("-p", setting, module=module)
    fresh.until(lambda: fresh.process and fresh.process.poll() is not None)
    assert fresh.process is not None and fresh.process.returncode == 1
    assert "error: " in fresh.said() and reason in fresh.said()
    assert "Traceback" not in fresh.said()


def test_bad_weights_end_an_autostarted_node(fresh: Rig) -> None:
    fresh.start("-p", "weights:=nothing")
    assert fresh.process is not None
    fresh.until(lambda: fresh.process and fresh.process.poll() is not None)
    assert fresh.process.returncode == 1
    assert "configure failed: no weights 'nothing'" in fresh.said()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly_in_mid_work(signal_number: int, fresh: Rig) -> None:
    fresh.start()
    fresh.until_said("active:")
    masks = fresh.listen("/regseg/mask")
    fresh.until_connected()
    fresh.send_until(image(frame(), "rgb8"), lambda: masks)
    assert fresh.process is not None
    busy = image(frame(), "rgb8")
    for number in range(1000):
        fresh.send(busy)
        fresh.spin(0.01)
        if number == 20:
            fresh.process.send_signal(signal_number)
        if fresh.process.poll() is not None:
            break
    assert fresh.process.wait(20) == 0
    assert "Traceback" not in fresh.said()


@pytest.mark.parametrize(
    ("module", "signal_number"), [("video_source", signal.SIGINT), ("recorder", signal.SIGTERM)]
)
def test_signals_end_the_other_nodes_cleanly(
    module: str, signal_number: int, fresh: Rig, tmp_path: Path
) -> None:
    given = ["-p", f"out:={tmp_path}"] if module == "recorder" else []
    fresh.start(*given, module=module)
    node = f"/{module}"
    fresh.until(lambda: node[1:] in fresh.node.get_node_names())
    fresh.spin(1.0)
    assert fresh.stop(signal_number) == 0
    assert "Traceback" not in fresh.said()
