"""Which topics of a bag are labelled, and what their cameras are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regseg_core.bag.deserializing import COMPRESSED_IMAGE, IMAGE
from regseg_core.bag.errors import BagError
from regseg_core.bag.recording import Topic

_COMPRESSED_SUFFIX = "/compressed"

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


def find_cameras(topics: Mapping[str, Topic], asked: Sequence[str] = ()) -> list[Camera]:
    """The cameras that are asked for, each a topic or NAME=TOPIC; all that there are by default.

    Of a camera that is recorded both raw and compressed, the raw images are taken by default. A
    name is made of the topic: `/front/image_raw/compressed` is front's. Raises BagError.
    """
    images = {
        name: topic for name, topic in topics.items() if topic.msgtype in (IMAGE, COMPRESSED_IMAGE)
    }
    wanted = [_asked(text) for text in asked] or [
        (None, name)
        for name in sorted(images)
        if name.removesuffix(_COMPRESSED_SUFFIX) == name
        or name.removesuffix(_COMPRESSED_SUFFIX) not in images
    ]
    there = f"its image topics are {', '.join(sorted(images)) or 'none'}"
    if missing := [topic for _, topic in wanted if topic not in images]:
        raise BagError(f"the bag has no images on {', '.join(missing)}: {there}")
    if not wanted:
        raise BagError(f"the bag has no images: its topics are {', '.join(sorted(topics))}")
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


def _asked(text: str) -> tuple[str | None, str]:
    name, is_named, topic = text.rpartition("=")
    if not _NAME.fullmatch(name):
        raise BagError(f"{name!r} is no name of a camera: give letters, digits and _")
    return (name if is_named else None), topic


def _named(topic: str) -> str:
    """What comes before `image_raw` or the like."""
    *before, last = topic.removesuffix(_COMPRESSED_SUFFIX).strip("/").split("/")
    return "/".join(before if last.startswith("image") else [*before, last])
