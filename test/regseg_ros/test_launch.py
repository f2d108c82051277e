"""`segment.launch.py`, launched for real where launch_ros is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("launch_ros", reason="launch_ros is not installed; it has no wheel")

from installed import Installed
from rig import Rig, image

from regseg_core.data.synthetic import SyntheticStreet

PROGRAM = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

source = PythonLaunchDescriptionSource(sys.argv[1])
arguments = [argument.split(":=") for argument in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


@pytest.mark.integration
@pytest.mark.xdist_group("installed")
def test_the_launch_file_brings_the_node_to_active(
    installed: Installed, fresh: Rig, tmp_path: Path
) -> None:
    fresh.environment = {**installed.environment(), **fresh.environment}
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        del fresh.environment[name]
    fresh.environment["PYTHONPATH"] = installed.environment()["PYTHONPATH"]
    # The file's value holds where the launch argument is left empty.
    parameters = tmp_path / "mine.yaml"
    parameters.write_text("/**: {ros__parameters: {overlay_alpha: 1.0, image_topic: /other}}")
    fresh.start(
        program=[
            sys.executable,
            "-c",
            PROGRAM,
            str(installed.share / "launch" / "segment.launch.py"),
            "image_topic:=/camera/image_raw",
            "namespace:=front",
            "log_level:=debug",
            f"params_file:={parameters}",
        ],
        folder=tmp_path,
        ros_arguments=False,
    )
    fresh.until_said("active:")
    masks, overlays = fresh.listen("/front/regseg/mask"), fresh.listen("/front/regseg/overlay")
    fresh.until_connected()
    fresh.send(image(SyntheticStreet().frame(0.0)[0], "rgb8"))
    fresh.until(lambda: masks and overlays)
    assert masks[0].data == overlays[0].data, "overlay_alpha 1.0 shows the mask alone"
    assert fresh.process is not None
    children = Path(f"/proc/{fresh.process.pid}/task/{fresh.process.pid}/children").read_text()
    node = children.split()[0]
    variables = Path(f"/proc/{node}/environ").read_bytes().decode().split("\0")
    profile = installed.share / "config" / "fastdds.xml"
    assert f"FASTRTPS_DEFAULT_PROFILES_FILE={profile}" in variables
    assert fresh.stop() == 0
