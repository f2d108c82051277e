"""Which topics of a bag are labelled, and what their cameras are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from regseg_core.bag.deserializing import COMPRESSED_IMAGE, IMAGE
from regseg_core.bag.errors import BagError, MessageError
from regseg_core.bag.recording import Recording

_COMPRESSED_SUFFIX = "/compressed"

#: How encodings of distances begin.
_DEPTH = ("16UC1", "32FC1")

#: Names in ROS, joined by slashes; one without a name is a robot's only camera.
_NAME = re.compile(r"(?:[A-Za-z_]\w*(?:/[A-Za-z_]\w*)*)?", re.ASCII)


@dataclass(frozen=True)
class Camera:
    """A topic with images, and the name that is in the topics of its labels."""

    name: str
    topic: str
    compressed: bool

    @property
    def prefix(self) -> str:
        """Of the topics of its labels."""
        return f"/regseg/{self.name}" if self.name else "/regseg"


def find_cameras(recording: Recording, asked: Sequence[str] = ()) -> list[Camera]:
    """The cameras that are asked for, each a topic or NAME=TOPIC; all that there are by default.

    By default the raw images of a camera that is recorded raw and compressed, no depth, and nothing
    that the node has made. A name is made of the topic: `/front/image_raw/compressed` is front's.
    Raises BagError.
    """
    topics = recording.topics
    images = {
        name: topic for name, topic in topics.items() if topic.msgtype in (IMAGE, COMPRESSED_IMAGE)
    }
    wanted = [_asked(text) for text in asked] or [
        (None, name)
        for name in sorted(images)
        if (name == _raw(name) or _raw(name) not in images) and _is_colour(recording, name)
    ]
    there = f"its image topics are {', '.join(sorted(images)) or 'none'}"
    if missing := [topic for _, topic in wanted if topic not in images]:
        raise BagError(f"the bag has no images on {', '.join(missing)}: {there}")
    if not wanted:
        raise BagError(
            f"{recording.path} has no images of a camera: its topics are"
            f" {', '.join(sorted(topics))}"
        )
    found = [
        Camera(
            _named(topic) if name is None else name,
            topic,
            images[topic].msgtype == COMPRESSED_IMAGE,
        )
        for name, topic in wanted
    ]
    doubled = [
        name for name, count in Counter(camera.name for camera in found).items() if count > 1
    ]
    if doubled:
        same = [camera.topic for camera in found if camera.name in doubled]
        raise BagError(
            f"{', '.join(same)} would have one name: give other ones, such as"
            f" --topics left={same[0]} right={same[1]}"
        )
    return found


def count_frames(recording: Recording, cameras: Sequence[Camera]) -> int | None:
    """Images of those cameras, as the recorder counted them; None where it did not come to that."""
    counts = [recording.topics[camera.topic].count for camera in cameras]
    return None if None in counts else sum(count or 0 for count in counts)


def _is_colour(recording: Recording, topic: str) -> bool:
    """Whether it is a camera's, neither depth nor an output of the node; by its first message."""
    if topic.startswith("/regseg/") or "compressedDepth" in topic:
        return False
    first = next(recording.messages([topic]), None)
    try:
        image = None if first is None else recording.deserialize(first)
    except MessageError:
        return True  # it is named where it is labelled
    kind = getattr(image, "encoding", "") or getattr(image, "format", "")
    return not kind.startswith(_DEPTH)


def _raw(topic: str) -> str:
    return topic.removesuffix(_COMPRESSED_SUFFIX)


def _asked(text: str) -> tuple[str | None, str]:
    name, is_named, topic = text.rpartition("=")
    if not _NAME.fullmatch(name):
        raise BagError(f"{name!r} is no name of a camera: give letters, digits and _")
    return (name if is_named else None), topic


def _named(topic: str) -> str:
    """What comes before `image_raw` or the like."""
    *before, last = _raw(topic).strip("/").split("/")
    return "/".join(before if last.startswith("image") else [*before, last])
