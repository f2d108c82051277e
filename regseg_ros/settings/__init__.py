"""The nodes' parameters. Knows nothing of ROS and PyTorch, so that launch files can read it."""

from regseg_ros.settings.fields import AT_LOADING, AT_START, LIVE, ONCE, Described, described
from regseg_ros.settings.geometry import GeometrySettings, PlaceSettings
from regseg_ros.settings.inputs import CameraSettings, InputSettings
from regseg_ros.settings.segmenter import (
    NetworkSettings,
    OutputSettings,
    SegmenterSettings,
    ThreadSettings,
    Thresholds,
)
from regseg_ros.settings.tools import GroundRecorderSettings, RecorderSettings, SourceSettings

__all__ = [
    "AT_LOADING",
    "AT_START",
    "LIVE",
    "ONCE",
    "CameraSettings",
    "Described",
    "GeometrySettings",
    "GroundRecorderSettings",
    "InputSettings",
    "NetworkSettings",
    "OutputSettings",
    "PlaceSettings",
    "RecorderSettings",
    "SegmenterSettings",
    "SourceSettings",
    "ThreadSettings",
    "Thresholds",
    "described",
]
