"""What the pages say of the code, held against the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml
from places import ROOT

from regseg_core import zoo
from regseg_core.groups import Groups
from regseg_core.weights import find_weights
from regseg_ros.geometry.products import PRODUCTS
from regseg_ros.settings import SegmenterSettings, described

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

#: Messages of others: rclpy's, Python's, NumPy's.
FOREIGN = {
    "No module named 'torch'",
    "This Fast DDS version doesn't have the security libraries",
    "A module that was compiled using NumPy 1.x cannot be run in NumPy 2",
}


def texts() -> str:
    """Every literal text of the packages, launch files and scripts, one a line."""
    found = [path.read_text() for path in ROOT.glob("scripts/*.sh")]
    folders = ("regseg_core", "regseg_ros", "launch")
    for path in [path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")]:
        found += [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    return "\n".join(found)


def test_troubleshooting_quotes_what_the_code_says() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    rows = re.findall(r"^\| (.*?) \|", page.partition("## What was tried")[0], re.MULTILINE)
    quoted = {text for row in rows for text in re.findall(r"`([^`]+)`", row)} - FOREIGN
    pieces = {piece.strip() for text in quoted for piece in text.split("...")}
    said = texts()
    assert len(quoted) > 20
    assert [piece for piece in sorted(pieces) if piece not in said] == []


def test_places_quotes_what_the_code_says() -> None:
    page = (ROOT / "docs" / "places.md").read_text()
    table = page.partition("## What stops it")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    quoted = {text for row in rows for text in re.findall(r"`([^`]+)`", row)}
    pieces = {piece.strip() for text in quoted for piece in text.split("...")}
    said = texts()
    assert len(quoted) > 15
    assert [piece for piece in sorted(pieces) if piece not in said] == []


def test_places_names_parameters_and_outputs_that_are_there() -> None:
    page = (ROOT / "docs" / "places.md").read_text()
    launched = re.findall(r"^ros2 launch regseg_ros \S+ (.*)$", page, re.MULTILINE)
    given = {name for line in launched for name in re.findall(r"(\w+):=", line)}
    assert given and given <= {*described(SegmenterSettings), "nav2"}
    pictures = set(re.findall(r"\]\(places-(\w+)\.jpg\)", page))
    assert pictures == {*PRODUCTS, "cost", "label_small"} - {"obstacles"}
    for name in PRODUCTS:
        assert f"`{name}`" in page


def test_yaml_in_places_can_be_read() -> None:
    page = (ROOT / "docs" / "places.md").read_text()
    labels = find_weights(zoo.DEFAULT, None, None)[0].labels
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    groups = [Groups.from_dict(block) for block in blocks if "groups" in block]
    assert len(groups) == 2
    for found in groups:
        assert set(found.groups_of(labels)) == {n for g in found.groups for n in g.classes}
    ids = groups[1].table(labels)[list(labels.ids)]
    assert set(ids) == {0, 1}, "nvblox takes 255 for something that moves"
    moving = {n for n, i in zip(labels.names, ids, strict=True) if i}
    assert moving == {"car", "pedestrian", "bicyclist"}


def test_every_page_names_the_tensorrt_that_engines_are_built_with() -> None:
    """A file of TensorRT for RTX is refused by another version."""
    files = [*PAGES, ROOT / "Dockerfile", *(ROOT / "requirements").glob("*.txt")]
    pinned = {p.name: set(re.findall(r"tensorrt_rtx==([\d.]+)", p.read_text())) for p in files}
    assert {"README.md", "engines.md", "Dockerfile", "dev.txt"} <= {n for n in pinned if pinned[n]}
    assert len(set.union(*pinned.values())) == 1, pinned


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, heading = target.partition("#")
        if path.startswith("https:"):
            continue
        file = page.parent / path if path else page
        assert file.is_file(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"\W+", "-", title.lower()) for title in titles}, target
