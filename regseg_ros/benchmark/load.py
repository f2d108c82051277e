"""What a camera sends and what the node is to do with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from regseg_core.encodings import ENCODINGS
from regseg_core.errors import RegSegError

#: What a camera may be started with: Fast DDS' own transports, or a profile of config/.
PROFILES = ("none", "fastdds", "fastdds-large")
TRANSPORTS = ("raw", "compressed")

#: Where masks come, of one camera and of each of several.
CAMERA_TOPIC, MASK_TOPIC = "/camera/image_raw", "/regseg/mask"


class BenchmarkError(RegSegError):
    """What could not be measured, and why."""


@dataclass(frozen=True)
class Load:
    """One arrangement that is measured. Raises BenchmarkError for one that cannot be."""

    height: int = 480
    width: int = 640
    #: Frames a second of each camera.
    rate: float = 15.0
    encoding: str = "bgr8"
    transport: str = "raw"
    cameras: int = 1
    #: Of Fast DDS, for all processes.
    profile: str = "fastdds"
    backend: str = "auto"
    precision: str = "auto"
    #: Of the clock, once the node runs what it will go on with.
    seconds: float = 8.0
    #: Whether each camera has a node of its own.
    apart: bool = False
    #: Images: a folder, a video, a data set, or street.
    data: str = "street"

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise BenchmarkError(f"encoding {self.encoding!r}: give one of {', '.join(ENCODINGS)}")
        if reason := ENCODINGS[self.encoding].refusal(self.height, self.width):
            raise BenchmarkError(reason)
        for name in ("rate", "seconds"):
            if not 0 < getattr(self, name) < 1e4:
                raise BenchmarkError(f"{name} {getattr(self, name):g}: give one above 0")
        if self.transport == "compressed" and self.encoding != "bgr8":
            raise BenchmarkError("a compressed image is a JPEG file: leave the encoding at bgr8")

    @property
    def names(self) -> list[str]:
        """Of the cameras; one empty name where there is one camera alone."""
        return [f"camera{n}" for n in range(self.cameras)] if self.cameras > 1 else [""]

    @property
    def camera_topics(self) -> list[str]:
        """What the cameras publish, without the transport's suffix."""
        return [f"/{name}/image_raw" if name else CAMERA_TOPIC for name in self.names]

    @property
    def mask_topics(self) -> list[str]:
        """Where the masks of each camera come."""
        form = "/{}/regseg/mask" if self.apart else "/regseg/{}/mask"
        return [form.format(name) if name else MASK_TOPIC for name in self.names]

    def title(self) -> str:
        """For people."""
        cameras = f"{self.cameras} x " if self.cameras > 1 else ""
        coded = "jpeg" if self.transport == "compressed" else self.encoding
        profile = {"none": ", no profile", "fastdds": ""}.get(self.profile, f", {self.profile}")
        return f"{cameras}{self.width} x {self.height} {coded}, {self.rate:g} Hz{profile}"


def rate_list(text: str) -> list[float]:
    """Parses rates such as '5 10 20'. Raises BenchmarkError."""
    words = re.split(r"[\s,]+", text.strip())
    try:
        rates = [float(word) for word in words]
    except ValueError:
        rates = [0.0]
    if not all(0 < rate < 1e4 for rate in rates):
        raise BenchmarkError(f"rates {text!r}: give frames a second, such as '5 10 20'")
    return rates
