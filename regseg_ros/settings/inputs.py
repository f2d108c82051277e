"""What comes in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from regseg_ros.settings.fields import LIVE, parameter
from regseg_ros.settings.geometry import PlaceSettings

_CAMERA = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ImageSettings:
    """How a camera's images are heard."""

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
        "How the camera's images are subscribed to: best_effort, reliable (for a camera on the"
        " network), or auto: best effort, and reliable once frames get lost and all publishers"
        " offer it. Depth, lidar and CameraInfo are always best effort.",
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
class CameraSettings(PlaceSettings, ImageSettings):
    """Of one camera. With `cameras`, each has its own: `front.rotate` is `rotate` by default."""


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
