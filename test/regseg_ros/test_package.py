"""What gets installed: by colcon for ROS, by pip for the library alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from email import message_from_string
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest
from installed import LEFT_OUT, Installed, colcon
from places import ROOT
from rig import Rig


@pytest.mark.integration
@pytest.mark.xdist_group("installed")
def test_files_are_where_ros_looks_for_them(installed: Installed) -> None:
    assert {p.name for p in installed.executables.iterdir()} == {
        "segmenter",
        "video_source",
        "recorder",
        "ground_recorder",
        "doctor",
    }
    for file in (
        "package.xml",
        "LICENSE",
        "NOTICE",
        "launch/segment.launch.py",
        "launch/demo.launch.py",
        "config/segment.yaml",
        "config/four_cameras.yaml",
        "config/security/regseg.policy.xml",
        "config/groups.yaml",
        "config/regseg.rviz",
        "config/foxglove.json",
        "config/fastdds.xml",
        "config/fastdds-large.xml",
    ):
        assert (installed.share / file).is_file(), file
    marker = installed.prefix / "share/ament_index/resource_index/packages/regseg_ros"
    assert marker.is_file()
    (zoo,) = installed.prefix.glob("lib/python*/site-packages/regseg_core/zoo")
    assert (zoo / "regseg48-camvid.safetensors").is_file()


@pytest.mark.integration
@pytest.mark.xdist_group("installed")
def test_installed_executables_work_together(
    installed: Installed, fresh: Rig, tmp_path: Path
) -> None:
    fresh.environment = installed.environment(fresh.environment)
    segmenter, source = (installed.executables / n for n in ("segmenter", "video_source"))
    config = installed.share / "config" / "segment.yaml"
    fresh.start("--params-file", str(config), program=[str(segmenter)], folder=tmp_path)
    fresh.until_said("active:")
    masks = fresh.listen("/regseg/mask")
    fresh.until_connected()
    arguments = ["--ros-args", "-p", "frames:=5", "-p", "rate:=5.0"]
    arguments += ["-p", "wait_for_subscribers:=1"]
    subprocess.run([source, *arguments], cwd=tmp_path, env=fresh.environment, check=True)
    fresh.until(lambda: len(masks) >= 3)
    assert masks[0].header.frame_id == "camera"


@pytest.mark.integration
@pytest.mark.xdist_group("installed")
def test_colcon_runs_the_fast_tests(installed: Installed) -> None:
    workspace = installed.prefix.parents[1]
    tests = workspace / "src" / "regseg_ros" / "test"
    shutil.rmtree(tests)
    tests.mkdir()
    (tests / "test_two.py").write_text(
        "import pytest\n\n\ndef test_fast() -> None: ...\n\n\n"
        "@pytest.mark.slow\ndef test_slow() -> None: ...\n\n\n"
        "@pytest.mark.integration\ndef test_processes() -> None: ...\n"
    )
    colcon("test", workspace)
    report = ElementTree.parse(workspace / "build" / "regseg_ros" / "pytest.xml")
    assert [case.get("name") for case in report.iter("testcase")] == ["test_fast"]


@pytest.mark.integration
@pytest.mark.xdist_group("installed")
def test_setup_and_package_xml_agree(installed: Installed) -> None:
    (folder,) = installed.prefix.glob("lib/python*/site-packages/regseg_ros-*.egg-info")
    about = message_from_string((folder / "PKG-INFO").read_text(encoding="utf-8"))
    root = ElementTree.parse(installed.share / "package.xml").getroot()
    maintainer = root.find("maintainer")
    assert maintainer is not None
    assert about["Version"] == root.findtext("version")
    assert about["Maintainer"] == maintainer.text
    assert about["Maintainer-email"] == maintainer.get("email")
    assert about["License"] == root.findtext("license")
    assert (installed.share / "LICENSE").is_file()


def test_package_xml_declares_what_the_code_imports_and_launches() -> None:
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {element.text for element in root if element.tag.endswith("depend")}
    imported = {
        line.split()[1].split(".")[0]
        for path in [*ROOT.glob("regseg_ros/**/*.py"), *ROOT.glob("launch/*.py")]
        for line in path.read_text().splitlines()
        if line.lstrip().startswith(("from ", "import "))
    }
    ros = {n for n in imported if n in ("rclpy", "launch", "launch_ros", "cv_bridge")}
    ros |= {n for n in imported if n.endswith(("_msgs", "_interfaces", "_python"))}
    launched = {
        package
        for path in ROOT.glob("launch/*.py")
        for package in re.findall(r'package="(\w+)"', path.read_text())
    }
    assert root.get("format") == "3"
    assert ros | launched - {"regseg_ros", "rviz2"} <= declared, "rviz2: only if it is asked for"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip makes of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(ROOT, folder / "checkout", ignore=LEFT_OUT)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(copy)], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.integration
@pytest.mark.xdist_group("wheel")
def test_the_wheel_has_the_licence_and_no_upper_bound_on_numpy(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = (n for n in names if n.endswith(".dist-info/METADATA"))
        required = message_from_string(archive.read(about).decode()).get_all("Requires-Dist", [])
    assert {"LICENSE", "NOTICE"} <= {n.rpartition("/")[2] for n in names if ".dist-info/" in n}
    (numpy,) = (entry for entry in required if entry.startswith("numpy"))
    assert "<" not in numpy


@pytest.mark.integration
@pytest.mark.xdist_group("wheel")
def test_pip_gives_the_library_without_ros(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--target", str(target), str(wheel)], check=True)
    program = (
        "import sys; sys.modules['rclpy'] = None\n"
        "import numpy, pkgutil, importlib, regseg_core\n"
        "for m in pkgutil.walk_packages(regseg_core.__path__, 'regseg_core.'):\n"
        "    importlib.import_module(m.name)\n"
        "segment = regseg_core.Segmenter()\n"
        "print(regseg_core.__file__, segment(numpy.zeros((40, 50, 3), numpy.uint8)).labels.shape)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(target)) and "(40, 50)" in result.stdout
