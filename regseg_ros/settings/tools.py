"""Of the nodes beside it."""

from __future__ import annotations

from dataclasses import dataclass

from regseg_ros.settings.fields import parameter

_MANY = 2**31 - 1


@dataclass(frozen=True)
class SourceSettings:
    """Of the node `video_source`."""

    source: str = parameter(
        "street",
        "Folder of images, video, number of a camera device, or 'street', the synthetic one.",
        any_type=True,  # a device number may come as a number
    )
    image_topic: str = parameter("/camera/image_raw", "Topic to publish on.")
    rate: float = parameter(15.0, "Frames a second.", limits=(0.1, 1000.0))
    encoding: str = parameter("bgr8", "What the images' bytes mean, such as rgb8 or mono8.")
    frame_id: str = parameter("camera", "Frame of the images' headers.")
    loop: bool = parameter(False, "Begin again at the end of a folder or video.")
    frames: int = parameter(
        0, "Stop after so many; 0: at the end of the source.", limits=(0, _MANY)
    )
    ahead: int = parameter(
        0, "Frames to be held ready before the first is sent.", limits=(0, 10000)
    )
    width: int = parameter(480, "Columns of the synthetic street.", limits=(32, 8192))
    height: int = parameter(360, "Rows of the synthetic street.", limits=(32, 8192))
    focal: float = parameter(
        0.0,
        "Focal length in pixels, for a camera_info beside the images. 0: none; the synthetic street"
        " always has one, and a depth.",
        limits=(0.0, 1e5),
    )
    wait_for_subscribers: int = parameter(0, "Begin once so many listen.", limits=(0, _MANY))
    report: str = parameter("", "JSON file for the number of frames sent; empty: none.")


@dataclass(frozen=True)
class RecorderSettings:
    """Of the node `recorder`."""

    image_topic: str = parameter("/camera/image_raw", "Camera topic.")
    node: str = parameter("/regseg", "The segmenting node, whose mask and overlay are recorded.")
    out: str = parameter("demo", "Folder for demo.mp4, demo.png and demo.json.")
    rate: float = parameter(15.0, "Frames a second of the video.", limits=(0.1, 1000.0))
    ready_within: float = parameter(
        0.0,
        "Hear the camera once the segmenting node has compiled what it warms up for; seconds to"
        " wait for that at the most.",
        limits=(0.0, 3600.0),
    )


@dataclass(frozen=True)
class GroundRecorderSettings:
    """Of the node `ground_recorder`."""

    image_topic: str = parameter("/camera/image_raw", "Camera topic.")
    node: str = parameter("/regseg", "The segmenting node, whose grid and free space are drawn.")
    out: str = parameter("demo", "Folder for ground.png.")
