"""A parameter is described once: YAML, README and nodes are held to its field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from places import ROOT

from regseg_core import zoo
from regseg_core.groups import Groups, Role
from regseg_core.outputs import OUTPUTS
from regseg_core.weights import find_weights
from regseg_ros.geometry.products import PRODUCTS
from regseg_ros.settings import (
    GroundRecorderSettings,
    RecorderSettings,
    SegmenterSettings,
    SourceSettings,
    described,
)


def rows(readme: str, heading: str) -> list[tuple[str, ...]]:
    """The cells of the table under a heading, without its head."""
    section = readme.split(f"### {heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def plain(cell: str) -> str:
    return cell.strip("`")


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_yaml_has_every_parameter_with_its_default() -> None:
    text = (ROOT / "config" / "segment.yaml").read_text()
    given = yaml.safe_load(text)["/**"]["ros__parameters"]
    fields = {
        name: list(default) if isinstance(default, tuple) else default
        for name, (default, _) in described(SegmenterSettings).items()
    }
    assert list(given.items()) == list(fields.items())


def test_the_readme_has_every_parameter_with_its_default(readme: str) -> None:
    table = {plain(name): plain(default) for name, default, _ in rows(readme, "Parameters")}
    read_only = {name for name, default in table.items() if default == "read-only"}
    assert read_only == {"class_names`, `class_ids`, `class_colors"}
    shown = {name: in_words(default) for name, (default, _) in described(SegmenterSettings).items()}
    assert {name: table[name] for name in table if name not in read_only} == shown


def in_words(default: object) -> str:
    if default in ("", ("",)):
        return "empty"
    if isinstance(default, tuple):
        return ", ".join(f"{number:g}" for number in default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_the_readme_and_rviz_name_the_outputs(readme: str) -> None:
    topics = {plain(name): kind for name, kind, _ in rows(readme, "Topics")}
    for name, output in OUTPUTS.items():
        assert topics[f"/regseg/{name}"] == f"sensor_msgs/Image, {output.encoding}"
    for name, product in PRODUCTS.items():
        package = product.kind.__module__.partition(".")[0]
        assert topics[f"/regseg/{name}"] == f"{package}/{product.kind.__name__}"
    shown = set(re.findall(r"Value: /regseg/(\w+)", (ROOT / "config/regseg.rviz").read_text()))
    assert shown and shown <= {*OUTPUTS, *PRODUCTS}


def test_displays_are_of_the_topics_type() -> None:
    config = yaml.safe_load((ROOT / "config/regseg.rviz").read_text())
    classes = {"Map": "OccupancyGrid"}
    for display in config["Visualization Manager"]["Displays"]:
        kind = display["Class"].partition("/")[2]
        name = display["Topic"]["Value"].rpartition("/")[2]
        wanted = PRODUCTS[name].kind.__name__ if name in PRODUCTS else "Image"
        assert classes.get(kind, kind) == wanted
        # Another durability or reliability would match no publisher of ours.
        assert display["Topic"]["Durability Policy"] == "Volatile"


def test_foxglove_shows_topics_that_are_there() -> None:
    layout = json.loads((ROOT / "config/foxglove.json").read_text())
    panels = layout["configById"]
    images = {p["imageMode"]["imageTopic"] for p in panels.values() if "imageMode" in p}
    assert images == {SegmenterSettings.image_topic, "/regseg/mask", "/regseg/overlay"}
    (view,) = (panel for name, panel in panels.items() if name.startswith("3D!"))
    kinds = {"OccupancyGrid", "LaserScan", "PointCloud2"}
    in_space = {f"/regseg/{name}" for name, p in PRODUCTS.items() if p.kind.__name__ in kinds}
    assert set(view["topics"]) == in_space and view["followTf"] == SegmenterSettings.ground_frame
    shown = {topic for topic, given in view["topics"].items() if given["visible"]}
    assert shown == {"/regseg/grid", "/regseg/free_space"}
    placed = re.findall(r'"((?:3D|Image)!\w+)"', json.dumps(layout["layout"]))
    assert sorted(placed) == sorted(panels)


def test_groups_that_come_with_it_hold_the_shipped_classes() -> None:
    labels = find_weights(zoo.DEFAULT, None, None)[0].labels
    groups = Groups.load(str(ROOT / "config" / "groups.yaml"), labels)
    assert set(groups.groups_of(labels)) == set(labels.names)
    assert {group.role for group in groups.groups} == set(Role)


@pytest.mark.parametrize(
    "settings", [SegmenterSettings, SourceSettings, RecorderSettings, GroundRecorderSettings]
)
def test_every_parameter_says_what_it_means(settings: type[object]) -> None:
    for name, (default, entry) in described(settings).items():
        assert entry.description.endswith("."), name
        if entry.limits is not None:
            for number in default if isinstance(default, tuple) else (default,):
                assert entry.limits[0] <= number <= entry.limits[1], name


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"network_height": 3}, "set both network_height and network_width"),
        ({"warm_up": "720x1280"}, "is not HEIGHTxWIDTH ENCODING"),
        ({"warm_up": "0x1280 bgr8"}, "is not HEIGHTxWIDTH ENCODING"),
    ],
)
def test_settings_that_do_not_fit_are_explained(given: dict[str, object], reason: str) -> None:
    settings = SegmenterSettings(**given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=reason):
        _ = settings.size, settings.warm_up_frames
    assert SegmenterSettings(warm_up="720x1280 nv12").warm_up_frames == (720, 1280, "nv12")


def test_settings_are_read_without_ros_and_pytorch() -> None:
    text = Path(described.__code__.co_filename).read_text()
    assert not re.search(r"^(import|from) (rclpy|torch|regseg_core|numpy)", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("given", "size"),
    [((0, 0), (160, 120)), ((320, 240), (320, 240)), ((320, 0), (320, 120)), ((0, 60), (160, 60))],
)
def test_each_side_of_the_small_outputs_is_the_given_one_or_the_points(
    given: tuple[int, int], size: tuple[int, int]
) -> None:
    settings = SegmenterSettings(label_size=given, points_stride=4)
    assert settings.small_size(640, 480) == size
