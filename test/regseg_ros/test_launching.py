"""What the launch files work out before the node runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT

from regseg_core.outputs import OUTPUTS
from regseg_ros.launching import (
    LaunchError,
    cameras_in,
    full_name,
    image_topics,
    list_argument,
    misspelt,
    names,
    nav2_remappings,
    parameters_for,
    rviz_config,
    sections,
)
from regseg_ros.settings import SegmenterSettings, described


@pytest.mark.parametrize(
    "text", ["[front, rear]", "['front','rear']", "front rear", "front,rear", ' "front" , rear']
)
def test_names_may_be_written_in_several_ways(text: str) -> None:
    assert names(text) == ["front", "rear"]
    assert names("[]") == names("") == []


def test_the_full_name_is_the_graphs() -> None:
    assert full_name("", "regseg") == full_name("/", "regseg") == "/regseg"
    assert full_name("/robot1/eyes/", "regseg") == full_name("robot1/eyes", "regseg")
    assert full_name("robot1", "regseg") == "/robot1/regseg"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        # What rclpy does with such a section for /robot1/regseg.
        ("/**", True),
        ("/robot1/regseg", True),
        ("robot1/regseg", True),
        ("/*/regseg", True),
        ("/**/regseg", True),
        ("/robot1/*", True),
        ("/robot1/**", True),
        ("/*/*", True),
        ("**", True),
        ("regseg", False),
        ("/regseg", False),
        ("/*", False),
        ("/robot2/regseg", False),
    ],
)
def test_sections_are_found_as_rclpy_finds_them(key: str, found: bool, tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(yaml.safe_dump({key: {"ros__parameters": {"front": {"rotate": 180}, "a": 1}}}))
    parameters = parameters_for("/robot1/regseg", path)
    assert parameters == ({"front.rotate": 180, "a": 1} if found else None)
    assert sections(path) == ["/" + key.strip("/")]


def test_nested_names_and_several_sections(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(
        "/**: {ros__parameters: {a: 1, b: 1}}\n"
        "robot1: {regseg: {ros__parameters: {b: 2}}, other: {ros__parameters: {c: 3}}}\n"
    )
    assert parameters_for("/robot1/regseg", path) == {"a": 1, "b": 2}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("/**: [")
    for path in (broken, tmp_path / "none.yaml"):
        with pytest.raises(LaunchError, match=path.name):
            parameters_for("/regseg", path)


def test_the_files_that_come_with_it_are_for_every_node() -> None:
    four = parameters_for("/robot1/eyes", ROOT / "config" / "four_cameras.yaml")
    assert four is not None and parameters_for("/a", ROOT / "config" / "segment.yaml")
    cameras = cameras_in(four)
    assert cameras == ["front", "rear", "left", "right"]
    assert image_topics(cameras, four) == [f"/{name}/image_raw" for name in cameras]
    own = {name.partition(".")[0] for name in four if "." in name}
    assert own == set(cameras), "every camera shows how to give it values of its own"


def test_topics_of_cameras() -> None:
    assert image_topics([], {}) == ["/camera/image_raw"]
    assert image_topics([], {"image_topic": "/lens"}) == ["/lens"]
    given = {"image_topic": "/lens", "front.image_topic": "/bumper"}
    assert image_topics(["front", "rear"], given) == ["/bumper", "/rear/image_raw"]
    assert cameras_in({"cameras": [""]}) == cameras_in({}) == []


TEMPLATE = (ROOT / "config" / "regseg.rviz").read_text()


def displays(node: str, cameras: list[str], parameters: dict[str, Any]) -> dict[str, bool]:
    """Which topics RViz has, and whether it shows them by itself."""
    config = yaml.safe_load(rviz_config(TEMPLATE, node, cameras, parameters))
    found = config["Visualization Manager"]["Displays"]
    assert all(display["Enabled"] == display["Value"] for display in found)
    assert len({display["Name"] for display in found}) == len(found)
    return {display["Topic"]["Value"]: display["Enabled"] for display in found}


def test_rviz_shows_the_mask_of_each_camera() -> None:
    def shown(node: str, cameras: list[str]) -> list[str]:
        return [topic for topic, is_on in displays(node, cameras, {}).items() if is_on]

    assert shown("/regseg", []) == ["/regseg/mask", "/regseg/overlay"]
    assert shown("/robot1/eyes", []) == ["/robot1/eyes/mask", "/robot1/eyes/overlay"]
    named = displays("/regseg", ["front", "rear"], {})
    assert named == {"/regseg/front/mask": True, "/regseg/rear/mask": True}
    assert yaml.safe_load(rviz_config(TEMPLATE, "/regseg", [])) == yaml.safe_load(TEMPLATE)


def test_rviz_computes_no_places_before_somebody_ticks_them() -> None:
    found = displays("/robot1/eyes", [], {})
    places = {"grid", "free_space", "points", "obstacles", "ground_points"}
    assert {f"/robot1/eyes/{name}" for name in places} == {t for t, on in found.items() if not on}


def test_rviz_shows_the_ground_where_the_cameras_height_is_given() -> None:
    found = displays("/regseg", [], {"camera_height": "1.6", "depth_topic": "/depth"})
    assert found["/regseg/grid"] and found["/regseg/free_space"] and not found["/regseg/points"]
    assert not displays("/regseg", [], {"camera_height": 0.0})["/regseg/grid"]
    front = displays("/regseg", ["front", "rear"], {"front.camera_height": 0.5})
    assert list(front) == [
        *("/regseg/front/mask", "/regseg/front/grid", "/regseg/front/free_space"),
        "/regseg/rear/mask",
    ]
    framed = yaml.safe_load(rviz_config(TEMPLATE, "/regseg", [], {"ground_frame": "base"}))
    assert framed["Visualization Manager"]["Global Options"]["Fixed Frame"] == "base"
    plain = yaml.safe_load(TEMPLATE)["Visualization Manager"]["Global Options"]
    assert plain["Fixed Frame"] == SegmenterSettings.ground_frame


def test_a_name_that_is_nearly_right_is_noticed() -> None:
    known = ["image_topic", "cameras", "rotate"]
    assert misspelt(["imag_topic", "cameras", "rate"], known) == {"imag_topic": "image_topic"}


def test_a_part_of_a_name_is_noticed_where_it_is_clear_which() -> None:
    parameters = list(described(SegmenterSettings))
    meant = {"transport": "image_transport", "sync": "sync_slop"}
    assert misspelt([*meant], parameters) == meant
    assert misspelt(["", "t", "rat", "port", "image_transport"], parameters) == {}
    # Of demo.launch.py, which includes the other; max_rate and warn_rate are two.
    assert misspelt(["source", "rate", "rviz"], parameters) == {}


def test_lists_are_of_what_the_parameter_is() -> None:
    of = {name: default for name, (default, _) in described(SegmenterSettings).items()}
    for text in ("[160, 120]", "160,120", "160 120"):
        assert list_argument("label_size", text, of["label_size"]) == [160, 120]
    placed = list_argument("cloud_to_camera", "[0, -0.1, 2e-3, 0, 0, 0, 1]", of["cloud_to_camera"])
    assert placed == [0.0, -0.1, 0.002, 0.0, 0.0, 0.0, 1.0]
    assert {type(number) for number in placed} == {float}
    assert list_argument("cameras", "[front, rear]", of["cameras"]) == ["front", "rear"]
    assert list_argument("cameras", "[]", of["cameras"]) == [""]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("label_size", "[160, 12O]", "give 2 whole numbers, such as"),
        ("label_size", "[160.5, 120]", "give 2 whole numbers"),
        ("label_size", "160x120", "give 2 whole numbers"),
        ("label_size", "[160]", "give 2 whole numbers"),
        ("label_size", f"[160, 1{400 * '0'}]", "give 2 whole numbers"),
        ("cloud_to_camera", "[0, 0, 0]", "give 7 numbers"),
        ("cloud_to_camera", "[0, 0, 0, 0, 0, 0, nan]", "give 7 numbers"),
        ("cloud_to_camera", "[0, 0, O, 0, 0, 0, 1]", "give 7 numbers"),
    ],
)
def test_lists_that_are_misspelt_are_refused(name: str, text: str, reason: str) -> None:
    default, _ = described(SegmenterSettings)[name]
    with pytest.raises(LaunchError, match=rf"{name}:=.*: {reason}"):
        list_argument(name, text, default)


def test_nav2_finds_outputs_under_the_names_of_its_tutorial() -> None:
    assert nav2_remappings([]) == [
        ("~/label_small", "segmentation/mask"),
        ("~/confidence_small", "segmentation/confidence"),
        ("~/label_info", "segmentation/label_info"),
    ]
    assert (
        dict(nav2_remappings(["front", "rear"]))["~/rear/label_small"] == "segmentation/rear/mask"
    )
    ours = {name.removeprefix("~/") for name, _ in nav2_remappings([])}
    assert ours - {"label_info"} <= set(OUTPUTS)
