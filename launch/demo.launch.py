"""A camera, the node and RViz: the street, a folder of images, a video or a camera device.

Every argument of segment.launch.py is one of this file too: camera_height:=1.6 shows the street's
ground, depth_topic:=/camera/depth/image_raw its points.
"""

import math
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from regseg_ros.launching import cameras_in, full_name, image_topics, names, parameters_for

SEGMENT = Path(get_package_share_directory("regseg_ros"), "launch", "segment.launch.py")


def start_sources(context: LaunchContext) -> list[Node]:
    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    node = full_name(given("namespace"), given("name"))
    parameters = parameters_for(node, Path(given("params_file"))) or {}
    if given("image_topic"):
        parameters["image_topic"] = given("image_topic")
    cameras = names(given("cameras")) or cameras_in(parameters)
    return [
        *(
            camera_frame(given("camera_height"), given("camera_pitch"))
            if given("rviz") == "true" and given("camera_height")
            else ()
        ),
        *(
            Node(
                package="regseg_ros",
                executable="video_source",
                name="_".join(["video_source", *cameras[number : number + 1]]),
                namespace=given("namespace"),
                parameters=[
                    {
                        "image_topic": topic,
                        "source": given("source"),
                        "rate": float(given("rate")),
                        "loop": True,
                    }
                ],
                output="log",
            )
            for number, topic in enumerate(image_topics(cameras, parameters))
        ),
    ]


def camera_frame(height: str, pitch: str) -> list[Node]:
    """Where the camera is on the robot, for RViz: above base_link, its optical frame."""
    turn = {"--roll": -math.pi / 2 - float(pitch or 0), "--yaw": -math.pi / 2}
    place = [part for name, angle in turn.items() for part in (name, str(angle))]
    frames = ["--frame-id", "base_link", "--child-frame-id", "camera"]
    return [
        Node(
            package="tf2_ros",
            executable="static_transform_publisher",
            arguments=["--z", height, *place, *frames],
            output="log",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "source",
                default_value="street",
                description="Folder of images, video, number of a camera device, or 'street'.",
            ),
            DeclareLaunchArgument("rate", default_value="15.0", description="Frames a second."),
            DeclareLaunchArgument(
                "rviz", default_value="true", description="Open RViz.", choices=["true", "false"]
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SEGMENT)),
                launch_arguments={"rviz": LaunchConfiguration("rviz")}.items(),
            ),
            OpaqueFunction(function=start_sources),
        ]
    )
