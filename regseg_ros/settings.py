"""The nodes' parameters: one field each, with its default, what it means and what it may be.

Knows nothing of ROS and PyTorch, so that launch files can read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

_MANY = 2**31 - 1
_FRAMES = re.compile(r"([1-9]\d*)x([1-9]\d*) (\S+)")
_CAMERA = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

#: When a parameter is read.
ONCE = "Read once, at the start or when the node is configured."
AT_LOADING = "Read when the node is configured, and by ~/load_weights."
LIVE = "May change while the node runs."


@dataclass(frozen=True)
class Described:
    """What a field says of itself beside its default."""

    description: str
    #: Least and greatest value of a number.
    limits: tuple[float, float] | None = None
    #: The only values there are.
    choices: tuple[Any, ...] = ()
    #: Whether the parameter takes values of any type.
    any_type: bool = False
    read: str = ONCE


def parameter(default: Any, description: str, **more: Any) -> Any:
    """A field of a settings class; `more`: of `Described`."""
    return field(default=default, metadata={"described": Described(description, **more)})


def described(settings: type[Any]) -> Mapping[str, tuple[Any, Described]]:
    """Default and description of every parameter of a settings class, in order."""
    return {f.name: (f.default, f.metadata["described"]) for f in fields(settings)}


@dataclass(frozen=True)
class CameraSettings:
    """Of one camera. With `cameras`, each has its own: `front.rotate` is `rotate` by default."""

    image_topic: str = parameter(
        "/camera/image_raw",
        "Camera topic, sensor_msgs/Image. A named camera's is /<camera>/image_raw by default.",
    )
    image_transport: str = parameter(
        "raw",
        "raw, compressed (<image_topic>/compressed, JPEG or PNG), or auto: compressed where nobody"
        " publishes the raw topic.",
        choices=("raw", "compressed", "auto"),
    )
    qos: str = parameter(
        "auto",
        "How the camera is heard: best_effort, reliable (for a camera on the network), or auto:"
        " best effort, and reliable once frames get lost and all publishers offer it.",
        choices=("auto", "best_effort", "reliable"),
    )
    max_rate: float = parameter(
        0.0,
        "Frames a second to segment at most; more are dropped. 0: all.",
        limits=(0.0, 1000.0),
        read=LIVE,
    )
    rotate: int = parameter(
        0,
        "Degrees clockwise that make the image upright for the network, for a camera mounted on its"
        " side or upside down. Outputs keep the camera's own geometry.",
        choices=(0, 90, 180, 270),
    )


@dataclass(frozen=True)
class InputSettings(CameraSettings):
    """Of all cameras together."""

    cameras: Sequence[str] = parameter(
        ("",),
        "Names of several cameras, such as [front, rear]. Each has parameters of its own, such as"
        " front.image_topic, and outputs such as ~/front/mask. Empty: one camera without a name.",
    )
    batch_max: int = parameter(
        4, "Frames of several cameras that run at once at most.", limits=(1, 64)
    )
    batch_wait_ms: float = parameter(
        5.0,
        "How long a frame waits for those of the other cameras, in ms.",
        limits=(0.0, 1000.0),
    )
    lazy: bool = parameter(
        True, "Subscribe to a camera only while somebody subscribes to one of its outputs."
    )
    max_age_ms: float = parameter(
        0.0,
        "Frames whose stamp is older than this when their turn comes are dropped. 0: none are.",
        limits=(0.0, 1e6),
        read=LIVE,
    )
    max_megapixels: float = parameter(
        64.0,
        "Compressed images of more pixels are refused before they are decoded.",
        limits=(0.01, 4096.0),
    )

    @property
    def camera_names(self) -> list[str]:
        """One empty name where there is one camera without a name.

        Raises ValueError for a name that is no name in ROS, and for one that is there twice.
        """
        names = [name for name in self.cameras if name]
        for name in names:
            if not _CAMERA.fullmatch(name):
                raise ValueError(
                    f"cameras: {name!r} is no name for a topic; take letters, digits and _, such as"
                    " front"
                )
            if names.count(name) > 1:
                raise ValueError(f"cameras: {name!r} is there twice")
        return names or [""]


@dataclass(frozen=True)
class NetworkSettings:
    """Of what segments."""

    weights: str = parameter(
        "regseg48-camvid",
        "Shipped weights by name, or the path of a weights file.",
        read=AT_LOADING,
    )
    model: str = parameter(
        "",
        "Network, such as regseg48, for weights that do not say it.",
        read=AT_LOADING,
    )
    labels: str = parameter(
        "",
        "Label set, by name or as a YAML file, for weights that do not say it.",
        read=AT_LOADING,
    )
    device: str = parameter("auto", "auto, cpu, cuda or cuda:N.")
    precision: str = parameter(
        "auto", "auto, float32, bfloat16 or float16; auto takes the fastest that is safe."
    )
    backend: str = parameter(
        "auto", "What runs the graph: auto, or one by name, such as tensorrt, openvino or eager."
    )
    engine: str = parameter(
        "", "An engine file of `python -m regseg_core.compile`.", read=AT_LOADING
    )
    warm_up: str = parameter(
        "",
        "Frames to be ready for when the node becomes active, such as '720x1280 bgr8'. Empty:"
        " those of the engine file; without one nothing is warmed up, and the first frame waits.",
    )
    confidence: bool = parameter(
        True,
        "Compute ~/confidence; false saves the time for it. An engine file decides by itself.",
    )
    network_height: int = parameter(0, "Rows the network sees; 0: the camera's.", limits=(0, 8192))
    network_width: int = parameter(
        0, "Columns the network sees; 0: the camera's.", limits=(0, 8192)
    )

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that the network sees. Raises ValueError where one is missing."""
        if (self.network_height == 0) != (self.network_width == 0):
            raise ValueError("set both network_height and network_width, or neither")
        return (self.network_height, self.network_width) if self.network_height else None

    @property
    def warm_up_frames(self) -> tuple[int, int, str] | None:
        """Height, width and encoding. Raises ValueError for another text."""
        if not self.warm_up:
            return None
        if not (found := _FRAMES.fullmatch(self.warm_up)):
            raise ValueError(
                f"warm_up {self.warm_up!r} is not HEIGHTxWIDTH ENCODING, such as '720x1280 bgr8'"
            )
        return int(found[1]), int(found[2]), found[3]


@dataclass(frozen=True)
class OutputSettings:
    """Of what is published."""

    classes_of_interest: Sequence[str] = parameter(
        ("",),
        "Names of the classes to publish; the others become 255 in ~/label, black in ~/mask."
        " Empty: all.",
        read=LIVE,
    )
    min_confidence: float = parameter(
        0.0,
        "Pixels of which the network is less sure become 255 in ~/label, black in ~/mask.",
        limits=(0.0, 1.0),
        read=LIVE,
    )
    overlay_alpha: float = parameter(
        0.5,
        "Weight of the mask in ~/overlay: 0 shows the camera image alone, 1 the mask alone.",
        limits=(0.0, 1.0),
        read=LIVE,
    )


@dataclass(frozen=True)
class Thresholds:
    """From when on a camera's status is more than OK."""

    no_mask_after: float = parameter(
        3.0,
        "Seconds in which frames are wanted and no mask goes, after which the log says why, and the"
        " status is ERROR. 0: never.",
        limits=(0.0, 3600.0),
    )
    stale_after: float = parameter(
        5.0, "Seconds without a frame, after which the status is STALE.", limits=(0.1, 3600.0)
    )
    warn_rate: float = parameter(
        0.0, "Masks a second, below which the status is WARN. 0: no limit.", limits=(0.0, 1000.0)
    )
    warn_latency_ms: float = parameter(
        500.0, "p95 of the latency, above which the status is WARN. 0: no limit.", limits=(0.0, 1e6)
    )
    warn_dropped: float = parameter(
        0.5,
        "Share of frames dropped, above which the status is WARN. 1: no limit.",
        limits=(0.0, 1.0),
    )


@dataclass(frozen=True)
class SegmenterSettings(Thresholds, OutputSettings, NetworkSettings, InputSettings):
    """Of the node `regseg`."""

    autostart: bool = parameter(True, "Configure and activate without a lifecycle manager.")


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
    width: int = parameter(480, "Columns of the synthetic street.", limits=(32, 8192))
    height: int = parameter(360, "Rows of the synthetic street.", limits=(32, 8192))
    wait_for_subscribers: int = parameter(0, "Begin once so many listen.", limits=(0, _MANY))
    report: str = parameter("", "JSON file for the number of frames sent; empty: none.")


@dataclass(frozen=True)
class RecorderSettings:
    """Of the node `recorder`."""

    image_topic: str = parameter("/camera/image_raw", "Camera topic.")
    node: str = parameter("/regseg", "The segmenting node, whose mask and overlay are recorded.")
    out: str = parameter("demo", "Folder for demo.mp4, demo.png and demo.json.")
    rate: float = parameter(15.0, "Frames a second of the video.", limits=(0.1, 1000.0))
