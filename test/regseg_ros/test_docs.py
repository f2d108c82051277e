"""What the pages say of the code, held against the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from places import ROOT

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
