"""What CVAT is given, and what people make of it there, damaged and hostile files too."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pools import LABELS, SHAPES, imported

from regseg_core.annotation.exchange import export_pool, import_pool
from regseg_core.annotation.pool import AnnotationError
from regseg_core.arrays import Image


def test_cvat_gets_names_colours_and_a_mask_for_each_class(pool: Path, tmp_path: Path) -> None:
    export_pool(pool, "cvat", tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out" / "annotations.xml").getroot()
    names = [label.findtext("name") for label in root.iterfind("meta/task/labels/label")]
    colors = [label.findtext("color") for label in root.iterfind("meta/task/labels/label")]
    assert names == list(LABELS.names)
    assert colors == ["#804080", "#00a000", "#000000", "#999999"]
    constructor = json.loads((tmp_path / "out" / "labels.json").read_text("utf-8"))
    assert [(entry["name"], entry["color"]) for entry in constructor] == list(
        zip(names, colors, strict=True)
    )
    images = {image.attrib["name"]: image for image in root.iterfind("image")}
    assert list(images) == sorted(f"{name}.png" for name in SHAPES)
    assert len(images["nothing.png"]) == 0
    (mask,) = images["one 'class' & more.png"]
    assert mask.attrib == {
        "label": LABELS.names[1],
        "source": "auto",
        "occluded": "0",
        "rle": "0, 64",
        "left": "0",
        "top": "0",
        "width": "8",
        "height": "8",
        "z_order": "0",
    }
    pole = next(mask for mask in images["large.png"] if mask.attrib["label"] == "pole")
    assert [pole.attrib[key] for key in ("left", "top", "width", "height", "rle")] == [
        "200", "100", "1", "1", "0, 1",
    ]  # fmt: skip


def cvat(images: str) -> str:
    return f"<?xml version='1.0'?>\n<annotations><version>1.1</version>{images}</annotations>"


def from_cvat(small: Path, shapes: str, name: str = "a.png", size: str = "") -> Image:
    path = small.parent / "a.xml"
    size = size or 'width="6" height="4"'
    path.write_text(cvat(f'<image id="0" name="{name}" {size}>{shapes}</image>'))
    return imported(small, path)


def test_shapes_lie_on_one_another_by_z_order_and_then_by_place(small: Path) -> None:
    rows = from_cvat(
        small,
        '<mask label="pole" rle="0, 4" left="0" top="0" width="4" height="1" z_order="1"/>'
        '<box label="open ground" xtl="1" ytl="0" xbr="5" ybr="1" z_order="1"/>'
        '<box label="人" xtl="0" ytl="0" xbr="6" ybr="2" z_order="0"/>'
        '<polygon label="pole" points="0,3;6,3;6,4;0,4" z_order="-2"/>'
        '<box label="人" xtl="2" ytl="3" xbr="4" ybr="9" z_order="-3"/><tag label="pole"/>',
    )
    assert rows.tolist() == [
        [3, 0, 0, 0, 0, 2],
        [2, 2, 2, 2, 2, 2],
        [255] * 6,
        [3] * 6,
    ]


def test_boxes_turn_and_ellipses_are_round(small: Path) -> None:
    assert (from_cvat(
        small, '<box label="pole" xtl="2" ytl="1" xbr="6" ybr="3" rotation="90"/>'
    ) == 3).nonzero()[1].tolist() == [3, 4] * 4  # fmt: skip


def test_ellipse(small: Path) -> None:
    painted = from_cvat(small, '<ellipse label="pole" cx="3" cy="2" rx="3" ry="2"/>') == 3
    assert painted.tolist() == [
        [False, True, True, True, True, False],
        [True] * 6,
        [True] * 6,
        [False, True, True, True, True, False],
    ]


@pytest.mark.parametrize(
    "shapes, message",
    [
        ('<points label="pole" points="1,1"/>', r"image 'a.png', points 1 \(pole\): covers no"),
        ('<polyline label="pole" points="1,1;2,2;3,3"/>', r"polyline 1 \(pole\)"),
        ('<box label="tree" xtl="0" ytl="0" xbr="6" ybr="2"/>', r"box 1 \(tree\): no such class"),
        ('<tag label="x"/><box label="pole" xtl="0"/>', r"box 1 \(pole\): attribute 'ytl'"),
        ('<box label="pole" xtl="nan" ytl="0" xbr="6" ybr="2"/>', "'nan' is no place"),
        ('<box label="pole" xtl="1e300" ytl="0" xbr="6" ybr="2"/>', "no place"),
        ('<polygon label="pole" points="1,1;2,2"/>', "2 points"),
        ('<polygon label="pole" points="1,1;2;3,3"/>', "not pairs"),
        ('<mask label="pole" rle="0,4" left="3" top="0" width="4" height="1"/>', "not within"),
        ('<mask label="pole" rle="0,4" left="-1" top="0" width="4" height="1"/>', "not within"),
        ('<mask label="pole" rle="0,0" left="0" top="0" width="0" height="1"/>', "not within"),
        ('<mask label="pole" rle="0,5" left="0" top="0" width="4" height="1"/>', "add up"),
        ('<mask label="pole" rle="5,-1" left="0" top="0" width="4" height="1"/>', "add up"),
        ('<mask label="pole" rle="0,1,1,1,1,1" left="0" top="0" width="4" height="1"/>', "more"),
        ('<mask label="pole" rle="4,x" left="0" top="0" width="4" height="1"/>', "'x'"),
        (f'<mask label="pole" rle="{"9" * 30}" left="0" top="0" width="4" height="1"/>', "mask 1"),
        ('<mask label="pole" rle="0,4" top="0" width="4" height="1"/>', "'left' is missing"),
        ('<box label="pole" xtl="0" ytl="0" xbr="6" ybr="2" z_order="9999999999"/>', "z_order"),
    ],
)  # fmt: skip
def test_shapes_that_cannot_be_painted(small: Path, shapes: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        from_cvat(small, shapes)


def test_images_that_are_not_the_pools(small: Path) -> None:
    with pytest.raises(AnnotationError, match=r"image 'b\.png' is not in"):
        from_cvat(small, "", "b.png")
    with pytest.raises(AnnotationError, match="is 4 x 6, in the pool 6 x 4"):
        from_cvat(small, "", size='width="4" height="6"')
    with pytest.raises(AnnotationError, match="'a' occurs twice"):
        from_cvat(small, '</image><image name="x/a.jpg" width="6" height="4">')
    path = small.parent / "none.xml"
    path.write_text(cvat(""))
    with pytest.raises(AnnotationError, match="no image in it"):
        imported(small, path)


def bomb() -> str:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    return f'<!DOCTYPE a [<!ENTITY l0 "lol">{entities}]><annotations>&l11;</annotations>'


@pytest.mark.parametrize(
    "text, message",
    [
        (bomb(), "DOCTYPE"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>', "DOCTYPE"),
        ("<annotations>" + "<a>" * 100, "nested"),
        (cvat('<image name="a.png" width="6" height="4">')[:-20], "damaged"),
        ("", "damaged"),
        ("<?xml version='1.0' encoding='zip'?><svg/>", "begins with svg"),
        ("<svg/>", "begins with svg"),
        (cvat('<track id="0" label="pole"/>'), "tracks"),
    ],
)
def test_xml_that_is_damaged_or_hostile(small: Path, text: str, message: str) -> None:
    path = small.parent / "a.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=message):
        imported(small, path)


def test_an_archive_that_unpacks_without_end(small: Path) -> None:
    path = small.parent / "task.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("annotations.xml", "w") as file,
    ):
        file.write(b"<annotations><!--")
        for _ in range(24):
            file.write(b"x" * (1 << 20))
    assert path.stat().st_size < 100_000
    with pytest.raises(AnnotationError, match="16 MB"):
        imported(small, path)


def test_cvat_exports_archives(small: Path) -> None:
    path = small.parent / "task.zip"
    export_pool(small, "cvat", small.parent / "out")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(small.parent / "out" / "annotations.xml", "annotations.xml")
        archive.writestr("images/a.png", b"")
    assert (imported(small, path) == 0).all()
    data = bytearray(path.read_bytes())
    data[60:70] = b"0123456789"
    broken = small.parent / "broken.zip"
    broken.write_bytes(data)
    with zipfile.ZipFile(small.parent / "other.zip", "w") as archive:
        archive.writestr("x.txt", "x")
    for source, message in (
        (broken, "broken.zip"),
        (small.parent / "other.zip", "holds no annotations.xml"),
        (small.parent / "missing.xml", "cannot be read"),
        (small.parent / "a.txt", "neither"),
    ):
        with pytest.raises(AnnotationError, match=message):
            import_pool([source], small, small.parent / "never")
        assert not (small.parent / "never").exists()
