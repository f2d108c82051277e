"""What the YAML of Nav2's layer says of classes. What the layer hears by it: test_nav2.py."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT

from regseg_core import zoo
from regseg_core.groups import BUILT_IN as GROUPS
from regseg_core.labels import CAMVID, CITYSCAPES, LabelClass, LabelError, LabelSet
from regseg_ros.nav2_config import LAYER, Sources, layer, main, parameter_name, to_yaml

GARDEN = """
name: garden
groups:
  - {name: on, color: [0, 0, 0], cost: 0, role: ground, classes: [path]}
  - {name: long grass, color: [0, 9, 0], cost: 120, role: ground, classes: [grass]}
  - {name: long.grass, color: [0, 8, 0], cost: 130, role: background, classes: []}
  - {name: use_cost_selection, color: [1, 0, 0], cost: 254, role: dynamic, classes: [cat]}
  - {name: 3rd, color: [2, 0, 0], cost: 200, role: obstacle, classes: [hedge]}
  - {name: far, color: [3, 0, 0], cost: 255, role: background, classes: [sky]}
"""
GARDEN_CLASSES = LabelSet(
    "garden",
    tuple(
        LabelClass(number, name, (number, 0, 0))
        for number, name in enumerate(("path", "grass", "cat", "hedge", "sky"))
    ),
)


def read(parameters: dict[str, Any]) -> dict[str, Any]:
    """What a reader of the YAML finds."""
    found: dict[str, Any] = yaml.safe_load(to_yaml(parameters, ["a comment"]))[LAYER]
    return found


def costs(source: dict[str, Any]) -> dict[str, int]:
    """The cost of each class that the layer knows of."""
    return {
        name: source[kind]["max_cost"]
        for kind in source["class_types"]
        for name in source[kind]["classes"]
    }


@pytest.mark.parametrize("labels", [CAMVID, CITYSCAPES])
def test_every_class_with_a_cost_is_there_and_costs_what_its_group_does(labels: LabelSet) -> None:
    groups = GROUPS[labels.name]
    camera = read(layer(labels, "", Sources()))["camera"]
    assert costs(camera) == {
        name: group.cost for name, group in groups.groups_of(labels).items() if name != "sky"
    }
    for name in camera["class_types"]:
        kind = camera[name]
        assert kind["classes"] and kind["base_cost"] == kind["max_cost"]
        assert kind["dominant_priority"] == (name != "traversable")


def test_with_groups_the_layer_knows_the_groups() -> None:
    parameters = read(layer(CAMVID, "autoware", Sources()))
    known = {group.name: group.cost for group in GROUPS["autoware"].groups}
    assert known.pop("SKY") == 255
    assert costs(parameters["camera"]) == known
    # Also those of which the weights have no class: LabelInfo names them.
    assert "WALL" in known and "wall" not in CAMVID.names


def test_names_of_groups_become_names_of_parameters(tmp_path: Path) -> None:
    path = tmp_path / "garden.yaml"
    path.write_text(GARDEN.replace("name: on", 'name: "on"'))
    camera = read(layer(GARDEN_CLASSES, str(path), Sources()))["camera"]
    assert camera["class_types"] == [
        "class_on",
        "long_grass",
        "long_grass_2",
        "use_cost_selection_2",
        "class_3rd",
    ]
    assert costs(camera) == {
        "on": 0,
        "long grass": 120,
        "long.grass": 130,
        "use_cost_selection": 254,
        "3rd": 200,
    }
    priority = [camera[name]["dominant_priority"] for name in camera["class_types"]]
    assert priority == [False, False, False, True, True]
    assert camera["use_cost_selection"] is True
    assert parameter_name("Straße 1", ()) == "Stra_e_1"


def test_classes_whose_meaning_is_not_known_need_groups(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no built-in groups hold all of path, .*give --groups"):
        layer(GARDEN_CLASSES, "", Sources())
    path = tmp_path / "unknown.yaml"
    path.write_text(
        "groups: [{name: all, color: [0, 0, 0], cost: 255, role: background, classes: [path]}]"
    )
    with pytest.raises(ValueError, match="every group has the cost 255"):
        layer(GARDEN_CLASSES, str(path), Sources())
    with pytest.raises(LabelError, match="hold none of the classes"):
        layer(replace(GARDEN_CLASSES, classes=GARDEN_CLASSES.classes[:2]), "camvid", Sources())


def test_topics_lie_where_the_launch_file_puts_them() -> None:
    parameters = layer(CAMVID, "", Sources(("front", "rear"), "points", "robot1"))
    assert parameters["observation_sources"] == "front rear"
    assert {n: v for n, v in parameters["rear"].items() if n.endswith("_topic")} == {
        "segmentation_topic": "/robot1/segmentation/rear/mask",
        "confidence_topic": "/robot1/segmentation/rear/confidence",
        "labels_topic": "/robot1/segmentation/rear/label_info",
        "pointcloud_topic": "/robot1/regseg/rear/points",
    }
    alone = layer(CAMVID, "", Sources(points="/depth/points"))
    assert alone["camera"]["segmentation_topic"] == "/segmentation/mask"
    assert alone["camera"]["pointcloud_topic"] == "/depth/points"
    # Another's cloud has stamps of its own.
    assert alone["use_approximate_time_sync"] and not parameters["use_approximate_time_sync"]
    odd = layer(CAMVID, "", Sources(("enabled",)))
    assert odd["enabled"] is True and odd["observation_sources"] == "enabled_2"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"cameras": ("front", "front")}, "'front' is there twice"),
        ({"cameras": ("a b",)}, "'a b' is no name for a topic"),
        ({"points": "grond_points"}, "--points grond_points: give ground_points, points, or a"),
        ({"cameras": ("a", "b"), "points": "/cloud"}, "cannot be the cloud of a, b at once"),
    ],
)
def test_sources_that_cannot_be_are_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Sources(**given)


def test_the_command_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([])
    printed = capsys.readouterr().out
    path = tmp_path / "new" / "layer.yaml"
    main(["--weights", str(zoo.find(zoo.DEFAULT)), "-o", str(path)])
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert yaml.safe_load(path.read_text()) == yaml.safe_load(printed)
    main(["--groups", "camvid", "--cameras", "front", "rear", "--points", "points"])
    arguments = "nav2:=true groups:=camvid 'cameras:=[front, rear]'"
    assert f"segment.launch.py {arguments}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--weights", "none"], "error: no weights 'none': give a file, or one of"),
        (["--groups", "none.yaml"], "error: no groups 'none.yaml': give a YAML file"),
        (["-o", "file/layer.yaml"], "error: cannot write file/layer.yaml"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    arguments: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("in the way")
    with pytest.raises(SystemExit, match=reason):
        main(arguments)


def test_it_needs_no_ros() -> None:
    program = "import sys; sys.modules['rclpy'] = None; from regseg_ros.nav2_config import main"
    subprocess.run([sys.executable, "-c", f"{program}; main([])"], cwd=ROOT, check=True)


def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    page = (ROOT / "docs" / "nav2.md").read_text(encoding="utf-8")
    assert f"```yaml\n{capsys.readouterr().out}```\n" in page
