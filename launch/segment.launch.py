"""Starts the node on a camera topic, active, with shared memory sized for images; RViz if asked."""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from regseg_ros.settings import SegmenterSettings, described

SHARE = Path(get_package_share_directory("regseg_ros"))

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


def start_nodes(context: LaunchContext) -> list[Node]:
    # One that is not given stays as it is in the params_file.
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=type(default))
        for name, (default, _) in described(SegmenterSettings).items()
        if LaunchConfiguration(name).perform(context)
    }
    namespace = LaunchConfiguration("namespace").perform(context).strip("/")
    node = Node(
        package="regseg_ros",
        executable="segmenter",
        name="regseg",
        namespace=namespace,
        parameters=[LaunchConfiguration("params_file"), overrides],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=True,
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", os.fspath(SHARE / "config" / "regseg.rviz")],
        # The configuration names the topics of a node without a namespace.
        remappings=[
            (f"/regseg/{topic}", f"/{namespace}/regseg/{topic}") for topic in ("mask", "overlay")
        ]
        if namespace
        else [],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return [node, rviz]


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(
            name, default_value="", description=f"{entry.description} Not given: as in params_file."
        )
        for name, (_, entry) in described(SegmenterSettings).items()
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
    return LaunchDescription([*declared, *profiles, OpaqueFunction(function=start_nodes)])
