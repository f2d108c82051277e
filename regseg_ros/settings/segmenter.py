"""Of the node `regseg`: what segments, what is published, and all together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from regseg_ros.settings.fields import AT_LOADING, AT_START, LIVE, parameter
from regseg_ros.settings.geometry import GeometrySettings
from regseg_ros.settings.inputs import InputSettings

_FRAMES = re.compile(r"([1-9]\d*)x([1-9]\d*) (\S+)")


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
        "auto", "auto, float32, bfloat16, float16 or int8; auto takes the fastest that is safe."
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
class ThreadSettings:
    """Of the processor's share in it."""

    threads: int = parameter(
        0,
        "Threads that segment on a CPU. 0: as many as OMP_NUM_THREADS says, or as there are cores.",
        limits=(0, 1024),
        read=AT_START,
    )
    wait_policy: str = parameter(
        "brief",
        "How PyTorch's threads wait for one another on a CPU: brief, spinning for microseconds; or"
        " passive, asleep at once, for a machine whose cores are always busy.",
        choices=("brief", "passive"),
        read=AT_START,
    )


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
    record_below: float = parameter(
        0.0,
        "Frames with a lower mean confidence go to ~/interesting, for a recorder. 0: none.",
        limits=(0.0, 1.0),
        read=LIVE,
    )
    record_interval: float = parameter(
        1.0,
        "Seconds between two frames on ~/interesting at least.",
        limits=(0.0, 86400.0),
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
class SegmenterSettings(
    Thresholds,
    GeometrySettings,
    OutputSettings,
    ThreadSettings,
    NetworkSettings,
    InputSettings,
):
    """Of the node `regseg`."""

    autostart: bool = parameter(True, "Configure and activate without a lifecycle manager.")
