"""Starts the node on a camera topic, active, with shared memory sized for images; RViz if asked."""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(get_package_share_directory("regseg_ros"))

#: Launch argument: default and description. Those in NODE_PARAMETERS override the params_file.
ARGUMENTS = {
    "image_topic": ("/camera/image_raw", "Camera topic, sensor_msgs/Image."),
    "weights": ("regseg48-camvid", "Shipped weights by name, or the path of a weights file."),
    "device": ("auto", "auto, cpu, cuda or cuda:N."),
    "overlay_alpha": ("0.5", "Weight of the mask in the overlay, 0.0 to 1.0."),
    "params_file": (str(SHARE / "config" / "segment.yaml"), "YAML file of further parameters."),
    "namespace": ("", "Namespace of the node; its topics are <namespace>/regseg/mask and so on."),
    "autostart": ("true", "Whether the node goes to active by itself; false for a manager."),
    "rviz": ("false", "Whether RViz opens, showing mask and overlay."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "fastdds_profile": (
        str(SHARE / "config" / "fastdds.xml"),
        "Fast DDS profile with shared memory sized for images; the camera driver needs it too."
        " One that the environment already names is kept.",
    ),
}
NODE_PARAMETERS = {
    "image_topic": str,
    "weights": str,
    "device": str,
    "overlay_alpha": float,
    "autostart": bool,
}
#: The variable was renamed with Fast DDS 3 (Kilted).
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def generate_launch_description() -> LaunchDescription:
    profiles = [
        SetEnvironmentVariable(
            name, EnvironmentVariable(name, default_value=LaunchConfiguration("fastdds_profile"))
        )
        for name in PROFILE_VARIABLES
    ]
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in NODE_PARAMETERS.items()
    }
    node = Node(
        package="regseg_ros",
        executable="segmenter",
        name="regseg",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), overrides],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=True,
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", os.fspath(SHARE / "config" / "regseg.rviz")],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, *profiles, node, rviz])
