"""Starts the node on a camera topic, active, with shared memory sized for images; RViz if asked."""

import os
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("regseg_ros"))

#: Launch arguments that set a parameter of the node, where given; else the params_file does.
PARAMETERS = {
    "image_topic": "Camera topic, sensor_msgs/Image.",
    "weights": "Shipped weights by name, or the path of a weights file.",
    "device": "auto, cpu, cuda or cuda:N.",
    "overlay_alpha": "Weight of the mask in the overlay, 0.0 to 1.0.",
    "autostart": "true: the node goes to active by itself; false: a lifecycle manager does it.",
}
#: The other launch arguments: default and description.
ARGUMENTS = {
    "params_file": (str(SHARE / "config" / "segment.yaml"), "YAML file of the node's parameters."),
    "namespace": ("", "Namespace of the node; its topics are <namespace>/regseg/mask and so on."),
    "rviz": ("false", "Whether RViz opens, showing mask and overlay."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "fastdds_profile": (
        str(SHARE / "config" / "fastdds.xml"),
        "Fast DDS profile with shared memory sized for images; the camera driver needs it too."
        " One that the environment already names is kept.",
    ),
}
#: The variable was renamed with Fast DDS 3 (Kilted).
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def start_node(context: LaunchContext) -> list[Node]:
    given = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    # YAML gives each value its type, as in a params_file.
    overrides = {name: yaml.safe_load(text) for name, text in given.items() if text}
    return [
        Node(
            package="regseg_ros",
            executable="segmenter",
            name="regseg",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), overrides],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
            emulate_tty=True,
        )
    ]


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(
            name, default_value="", description=f"{text} Empty: as in params_file."
        )
        for name, text in PARAMETERS.items()
    ]
    declared += [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    profiles = [
        SetEnvironmentVariable(
            name, EnvironmentVariable(name, default_value=LaunchConfiguration("fastdds_profile"))
        )
        for name in PROFILE_VARIABLES
    ]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", os.fspath(SHARE / "config" / "regseg.rviz")],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return LaunchDescription([*declared, *profiles, OpaqueFunction(function=start_node), rviz])
