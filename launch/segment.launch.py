"""Starts the node on its cameras, active, with shared memory sized for images; RViz if asked."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.logging import get_logger, launch_config
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, TextSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from regseg_ros.launching import (
    LaunchError,
    cameras_in,
    full_name,
    list_argument,
    misspelt,
    names,
    nav2_remappings,
    parameters_for,
    rviz_config,
    sections,
)
from regseg_ros.settings import SegmenterSettings, described

SHARE = Path(get_package_share_directory("regseg_ros"))
YES_OR_NO = ["true", "false"]

#: The other launch arguments: default, description, and what they may be.
ARGUMENTS = {
    "params_file": (
        str(SHARE / "config" / "segment.yaml"),
        "YAML file of the node's parameters. A section `regseg:` is for a node without a namespace;"
        " `/**:` is for any.",
        None,
    ),
    "name": ("regseg", "Name of the node; its topics are /regseg/mask and so on.", None),
    "namespace": (
        "",
        "Namespace of the node; its topics are /NAMESPACE/regseg/mask and so on. Camera topics that"
        " begin with a slash, as the default ones do, stay what they are; image_topic:=image_raw is"
        " /NAMESPACE/image_raw.",
        None,
    ),
    "use_sim_time": ("", "Take the time from /clock. Not given: as in params_file.", None),
    "respawn": ("false", "Start the node again, after 2 s, when it dies.", YES_OR_NO),
    "nav2": (
        "false",
        "Give ~/label_small, ~/confidence_small and ~/label_info the names of Nav2's tutorial:"
        " /segmentation/mask, confidence and label_info; of named cameras /segmentation/CAMERA/mask"
        " and so on; in a namespace /NAMESPACE/segmentation/mask and so on.",
        YES_OR_NO,
    ),
    "rviz": (
        "false",
        "Open RViz with each camera's mask, and the ground where camera_height is given.",
        YES_OR_NO,
    ),
    "log_level": ("info", "How much the node says.", ["debug", "info", "warn", "error", "fatal"]),
    "fastdds_profile": (
        str(SHARE / "config" / "fastdds.xml"),
        "Fast DDS profile with shared memory sized for images; the camera driver needs it too."
        " One that the environment already names is kept.",
        None,
    ),
}
#: The variable was renamed with Fast DDS 3 (Kilted).
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def start_nodes(context: LaunchContext) -> list[Node]:
    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    # One that is not given stays as it is in the params_file.
    parameters = {
        name: parameter(context, name, given(name), default)
        for name, (default, _) in described(SegmenterSettings).items()
        if given(name)
    }
    if given("use_sim_time"):
        parameters["use_sim_time"] = parameter(
            context, "use_sim_time", given("use_sim_time"), False
        )
    log = get_logger("segment.launch.py")
    known = [*described(SegmenterSettings), *ARGUMENTS]
    for wrong, right in misspelt([a.partition(":=")[0] for a in context.argv], known).items():
        log.warning(f"{wrong}:= is none of its arguments: did you mean {right}:=")
    node = full_name(given("namespace"), given("name"))
    file = Path(given("params_file"))
    set_by_file = parameters_for(node, file)
    if set_by_file is None:
        log.warning(
            f"params_file {file} sets nothing for {node}: it is for {', '.join(sections(file))}."
            " A section `/**:` is for any node"
        )
    cameras = names(given("cameras")) or cameras_in(set_by_file or {})
    started = [
        Node(
            package="regseg_ros",
            executable="segmenter",
            name=given("name"),
            namespace=given("namespace"),
            parameters=[str(file), parameters],
            remappings=nav2_remappings(cameras) if given("nav2") == "true" else [],
            arguments=["--ros-args", "--log-level", given("log_level")],
            output="screen",
            emulate_tty=True,
            respawn=given("respawn") == "true",
            respawn_delay=2.0,
        )
    ]
    if given("rviz") == "true":
        config = Path(launch_config.log_dir, "regseg.rviz")
        template = (SHARE / "config" / "regseg.rviz").read_text()
        in_force = {**(set_by_file or {}), **{name: given(name) for name in parameters}}
        config.write_text(rviz_config(template, node, cameras, in_force))
        started.append(Node(package="rviz2", executable="rviz2", arguments=["-d", str(config)]))
    return started


def parameter(context: LaunchContext, name: str, text: str, default: object) -> ParameterValue:
    """A launch argument as a parameter of the default's type. Raises LaunchError."""
    if isinstance(default, (list, tuple)):
        values = list_argument(name, text, default)
        return ParameterValue(values, value_type=list[type(default[0])])
    value = ParameterValue(TextSubstitution(text=text), value_type=type(default))
    try:
        value.evaluate(context)
    except (TypeError, ValueError):
        raise LaunchError(f"{name}:={text}: give a {type(default).__name__}") from None
    return value


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(
            name, default_value="", description=f"{entry.description} Not given: as in params_file."
        )
        for name, (_, entry) in described(SegmenterSettings).items()
    ]
    declared += [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, (default, text, choices) in ARGUMENTS.items()
    ]
    profiles = [
        SetEnvironmentVariable(
            name, EnvironmentVariable(name, default_value=LaunchConfiguration("fastdds_profile"))
        )
        for name in PROFILE_VARIABLES
    ]
    return LaunchDescription([*declared, *profiles, OpaqueFunction(function=start_nodes)])
