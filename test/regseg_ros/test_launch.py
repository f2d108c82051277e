"""The launch files, launched for real where launch_ros is installed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("launch_ros", reason="launch_ros is not installed; it has no wheel")

from installed import Installed
from nav_msgs.msg import OccupancyGrid
from processes import children
from rig import PATIENCE, Rig, image
from sensor_msgs.msg import PointCloud2

from regseg_core.data.synthetic import SyntheticStreet

PROGRAM = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

source = PythonLaunchDescriptionSource(sys.argv[1])
arguments = [argument.split(":=") for argument in sys.argv[2:]]
service = LaunchService(argv=sys.argv[2:])
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("installed")]


def launch(rig: Rig, installed: Installed, file: str, *arguments: str) -> None:
    """Starts a launch file as in a terminal where some ROS and the package are sourced."""
    ros = {**rig.environment, "AMENT_PREFIX_PATH": "/opt/ros/some"}
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        del ros[name]
    rig.environment = installed.environment(ros)
    path = str(installed.share / "launch" / file)
    program = [sys.executable, "-c", PROGRAM, path, *arguments]
    rig.start(program=program, folder=installed.prefix, ros_arguments=False)


def nodes(rig: Rig) -> list[int]:
    """Process ids of what the launch file has started."""
    assert rig.process is not None
    return children(rig.process.pid)


def test_the_launch_file_brings_the_node_to_active_again_and_again(
    installed: Installed, fresh: Rig, tmp_path: Path
) -> None:
    # The file's value holds where the launch argument is left empty.
    parameters = tmp_path / "mine.yaml"
    parameters.write_text("/**: {ros__parameters: {overlay_alpha: 1.0, image_topic: /other}}")
    launch(
        fresh,
        installed,
        "segment.launch.py",
        "image_topic:=/camera/image_raw",
        "namespace:=robot1",
        "name:=eyes",
        "respawn:=true",
        "log_level:=debug",
        f"params_file:={parameters}",
    )
    masks, overlays = fresh.listen("/robot1/eyes/mask"), fresh.listen("/robot1/eyes/overlay")
    frame = image(SyntheticStreet().frame(0.0)[0], "rgb8")
    for turn in (1, 2):
        fresh.until_said("active:", times=turn)
        fresh.until_connected()
        fresh.send_until(frame, lambda: masks and overlays)
        assert masks[0].data == overlays[0].data, "overlay_alpha 1.0 shows the mask alone"
        if turn == 1:
            (node,) = nodes(fresh)
            variables = Path(f"/proc/{node}/environ").read_bytes().decode().split("\0")
            profile = installed.share / "config" / "fastdds.xml"
            assert f"FASTRTPS_DEFAULT_PROFILES_FILE={profile}" in variables
            os.kill(node, signal.SIGKILL)
            fresh.until_said("process has died")
            masks.clear()
            overlays.clear()
    assert fresh.stop() == 0


def test_the_demo_has_its_own_camera(installed: Installed, fresh: Rig, tmp_path: Path) -> None:
    keyed = tmp_path / "keyed.yaml"
    keyed.write_text("regseg: {ros__parameters: {overlay_alpha: 1.0}}")
    arguments = ["namespace:=robot1", "rviz:=false", "overlay_alpha:=1", "confidence:=false"]
    arguments += ["imag_topic:=/lens", f"params_file:={keyed}"]
    arguments += ["camera_height:=1.6", "depth_topic:=/camera/depth/image_raw"]
    launch(fresh, installed, "demo.launch.py", *arguments)
    fresh.until_said("sets nothing for /robot1/regseg: it is for /regseg. A section `/**:`")
    fresh.until_said("imag_topic:= is none of its arguments: did you mean image_topic")
    masks = fresh.listen("/robot1/regseg/mask")
    # The street comes with its calibration and depth.
    grids = fresh.listen("/robot1/regseg/grid", OccupancyGrid)
    points = fresh.listen("/robot1/regseg/points", PointCloud2)
    fresh.until(lambda: len(masks) >= 3 and grids and points)
    assert fresh.stop() == 0


def test_nav2_hears_labels_of_the_size_that_is_asked_for(installed: Installed, fresh: Rig) -> None:
    arguments = ["nav2:=true", "namespace:=robot1", "cameras:=[front, rear]"]
    launch(fresh, installed, "segment.launch.py", *arguments, "label_size:=[24, 16]")
    fresh.until_said("active:")
    heard = [fresh.listen(f"/robot1/segmentation/front/{n}") for n in ("mask", "confidence")]
    fresh.until_connected("/front/image_raw")
    frame = image(SyntheticStreet().frame(0.0)[0], "rgb8")
    fresh.send_until(frame, lambda: all(heard), "/front/image_raw")
    assert [(m[0].width, m[0].height) for m in heard] == [(24, 16), (24, 16)]
    assert fresh.stop() == 0


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("overlay_alpha:=high", "overlay_alpha:=high: give a float"),
        ("label_size:=[160, 12O]", "label_size:=[160, 12O]: give 2 whole numbers"),
        ("rviz:=maybe", "Valid options are: ['true', 'false']"),
        ("params_file:=/none.yaml", "params_file /none.yaml: "),
    ],
)
def test_wrong_arguments_are_named(
    argument: str, reason: str, installed: Installed, fresh: Rig
) -> None:
    launch(fresh, installed, "segment.launch.py", argument)
    assert fresh.process is not None and fresh.process.wait(PATIENCE) == 1
    assert reason in fresh.said() and "Traceback" not in fresh.said()
