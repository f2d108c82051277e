"""Which topics of a bag are labelled, and what their cameras are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from regseg_core.bag.deserializing import COMPRESSED_IMAGE, IMAGE
from regseg_core.bag.errors import BagError, MessageError
from regseg_core.bag.recording import Recording

#: What image_transport puts behind a camera's topic, where it sends a CompressedImage.
_COMPRESSED, _ZSTD = "/compressed", "/zstd"

#: The node's topics, whatever its namespace, and what it sends of images that it is unsure of.
_NODE, _INTERESTING = "/regseg/", "/interesting"

#: So many first messages of a topic are asked what it holds: some may be damaged.
_ASKED = 8

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

    By default every topic with images but depth, what the node has made, and what image_transport
    makes of a camera that is there otherwise. Images that the node was unsure of are taken where
    there are no others. A name is made of the topic: `/front/image_raw/compressed` is front's;
    where two would have one, they have all of their topics. Raises BagError.
    """
    topics = recording.topics
    images = {
        name: topic.msgtype
        for name, topic in topics.items()
        if topic.msgtype in (IMAGE, COMPRESSED_IMAGE)
    }
    wanted = [_asked(text) for text in asked] if asked else _by_default(recording, images)
    if missing := [topic for _, topic in wanted if topic not in images]:
        raise BagError(
            f"the bag has no images on {', '.join(missing)}: its image topics are"
            f" {', '.join(sorted(images)) or 'none'}"
        )
    if not wanted:
        raise BagError(
            f"{recording.path} has no images of a camera: its topics are"
            f" {', '.join(sorted(topics))}"
        )
    counted = Counter(name for name, _ in wanted)
    if same := [topic for name, topic in wanted if counted[name] > 1]:
        raise BagError(
            f"{', '.join(same)} would have one name: give other ones, such as"
            f" --topics left={same[0]} right={same[1]}"
        )
    return [Camera(name, topic, images[topic] == COMPRESSED_IMAGE) for name, topic in wanted]


def count_frames(recording: Recording, cameras: Sequence[Camera]) -> int | None:
    """Images of those cameras, as the recorder counted them; None where it did not come to that."""
    counts = [recording.topics[camera.topic].count for camera in cameras]
    return None if None in counts else sum(count or 0 for count in counts)


def _by_default(recording: Recording, images: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names and topics of cameras. `images`: types of messages by topic."""
    sent = {topic: images[topic] for topic in sorted(images) if _has_messages(recording, topic)}
    seen = [t for t in sent if not _is_copy(t, sent) and _is_colour(recording, t)]
    found = [topic for topic in seen if not _is_interesting(topic)] or seen
    counted = Counter(map(_named, found))
    return [
        (_named(topic) if counted[_named(topic)] == 1 else _raw(topic).strip("/"), topic)
        for topic in found
    ]


def _has_messages(recording: Recording, topic: str) -> bool:
    if (count := recording.topics[topic].count) is not None:
        return count > 0
    return next(recording.messages([topic]), None) is not None


def _is_copy(topic: str, images: Mapping[str, str]) -> bool:
    """Whether it is what image_transport makes of a camera that is there raw, or as JPEG or PNG."""
    camera = topic.rpartition("/")[0]
    better = [camera, camera + _COMPRESSED] if topic.endswith(_ZSTD) else [camera]
    return images[topic] == COMPRESSED_IMAGE and any(name in images for name in better)


def _is_colour(recording: Recording, topic: str) -> bool:
    """Whether it is a camera's, neither depth nor made by the node."""
    if "compressedDepth" in topic or (_NODE in topic and not _is_interesting(topic)):
        return False
    for message in islice(recording.messages([topic]), _ASKED):
        with suppress(MessageError):
            image = recording.deserialize(message)
            kind = getattr(image, "encoding", "") or getattr(image, "format", "")
            return not kind.startswith(_DEPTH)
    return True  # it is named where it is labelled


def _is_interesting(topic: str) -> bool:
    return _NODE in topic and topic.endswith(_INTERESTING)


def _raw(topic: str) -> str:
    return topic.removesuffix(_COMPRESSED)


def _asked(text: str) -> tuple[str, str]:
    name, is_named, topic = text.rpartition("=")
    if not _NAME.fullmatch(name):
        raise BagError(f"{name!r} is no name of a camera: give letters, digits and _")
    return (name if is_named else _named(topic)), topic


def _named(topic: str) -> str:
    """What comes before `image_raw` or the like; the camera of what a node was unsure of."""
    if _is_interesting(topic):
        node, _, camera = topic.removesuffix(_INTERESTING[1:]).partition(_NODE)
        return f"{node}/{camera}".strip("/")
    *before, last = _raw(topic).strip("/").split("/")
    return "/".join(before if last.startswith("image") else [*before, last])
