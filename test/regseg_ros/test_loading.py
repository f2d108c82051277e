"""Other weights while the node runs: taken over between two frames, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rig import Rig, image, pixels, status
from std_srvs.srv import Trigger

from regseg_core import LabelSet, Segmenter, create_model
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.labels import LabelClass
from regseg_core.weights import ModelCard, save_weights

pytestmark = pytest.mark.integration

FRAME = SyntheticStreets(1, 96, 64)[0][0]
CLASSES = LabelSet("two", (LabelClass(100, "path", (1, 2, 3)), LabelClass(101, "grass", (4, 5, 6))))


def load(node: Rig, path: str) -> Trigger.Response:
    """Loads weights, while frames go on."""
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=path)
    request = SetParameters.Request(parameters=[Parameter(name="weights", value=value)])
    assert node.call(SetParameters, "/regseg/set_parameters", request).results[0].successful
    answers: list[Trigger.Response] = []
    client = node.client(Trigger, "/regseg/load_weights")
    client.call_async(Trigger.Request()).add_done_callback(
        lambda done: answers.append(done.result())
    )
    for _ in range(600):
        if answers:
            return answers[0]
        node.send(image(FRAME, "rgb8"))
        node.spin(0.1)
    raise AssertionError(node.said())


def test_weights_are_taken_over_without_a_gap_or_refused(fresh: Rig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "two.safetensors"
    save_weights(weights, create_model("regseg48", 2), ModelCard("regseg48", CLASSES))
    fresh.start()
    fresh.until_said("active:")
    labels = fresh.listen("/regseg/label")
    fresh.send_until(image(FRAME, "rgb8"), lambda: labels)

    def names() -> list[str]:
        request = GetParameters.Request(names=["class_names", "weights"])
        found = fresh.call(GetParameters, "/regseg/get_parameters", request).values
        return [*found[0].string_array_value, found[1].string_value]

    refused = load(fresh, str(tmp_path / "nothing.safetensors"))
    assert not refused.success
    assert "no weights '" in refused.message and "still running: regseg48-camvid" in refused.message
    assert names()[-1] == "regseg48-camvid", "the parameter says what runs"

    labels.clear()
    taken = load(fresh, str(weights))
    assert taken.success and "2 classes" in taken.message
    assert names() == ["path", "grass", str(weights)]
    fresh.send_until(image(FRAME, "rgb8"), lambda: pixels(labels[-1]).max() >= 100)
    expected = Segmenter(weights, backend="eager")(FRAME, "rgb8").labels
    assert np.array_equal(pixels(labels[-1]), expected)
    stamps = [message.header.stamp.sec for message in labels]
    assert stamps == sorted(stamps)
    old = sum(pixels(message).max() < 100 for message in labels)
    assert old >= 1, "the old weights have segmented while the new ones were loaded"


def test_weights_without_a_calibration_follow_those_that_run_in_int8(
    fresh: Rig, tmp_path: Path
) -> None:
    """On a processor that is fast at int8; on others both have one precision."""
    pytest.importorskip("openvino")
    weights = tmp_path / "two.safetensors"
    save_weights(weights, create_model("regseg48", 2), ModelCard("regseg48", CLASSES))
    fresh.start("-p", "backend:=openvino")
    labels = fresh.listen("/regseg/label")
    fresh.send_until(image(FRAME, "rgb8"), lambda: labels)
    taken = load(fresh, str(weights))
    assert taken.success, taken.message
    fresh.send_until(image(FRAME, "rgb8"), lambda: pixels(labels[-1]).max() >= 100)
    assert status(fresh)["backend failures"] == "none"


def test_groups_that_are_set_while_weights_are_loaded_must_fit_these(
    fresh: Rig, tmp_path: Path
) -> None:
    weights = tmp_path / "two.safetensors"
    save_weights(weights, create_model("regseg48", 2), ModelCard("regseg48", CLASSES))
    fresh.start()
    fresh.until_said("active:")

    def put(name: str, text: str) -> bool:
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        results = fresh.call(SetParameters, "/regseg/set_parameters", request).results
        return bool(results[0].successful)

    assert put("weights", str(weights))
    loading = fresh.client(Trigger, "/regseg/load_weights").call_async(Trigger.Request())
    fresh.spin(0.02)
    assert put("groups", "camvid"), "they fit the weights that run"
    fresh.until(loading.done)
    assert not loading.result().success
    assert "groups 'camvid' hold none of the classes path, grass" in loading.result().message

    def shown() -> list[str]:
        request = GetParameters.Request(names=["weights", "class_names"])
        running, names = fresh.call(GetParameters, "/regseg/get_parameters", request).values
        assert running.string_value == "regseg48-camvid", "the parameter says what runs"
        return list(names.string_array_value)

    fresh.until(lambda: "traversable" in shown())  # some times a second it looks what is set
