"""A bag's messages, camera image by camera image, decoded; the others along with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from regseg_core.bag.cameras import Camera
from regseg_core.bag.errors import MessageError
from regseg_core.bag.recording import Message, Position, Recording
from regseg_core.errors import FrameError
from regseg_core.frame import Frame
from regseg_core.messages import compressed, uncompressed

#: Compressed images of more pixels are refused, as the node does.
_MOST_PIXELS = 64_000_000

#: Bytes of other messages that wait for the next frame of a camera, and how many, at most.
_BYTES, _COUNT = 16 << 20, 1024


@dataclass(frozen=True)
class Step:
    """A camera's message, and the others since the one before it."""

    others: list[Message]
    position: Position
    camera: Camera | None = None
    message: Message | None = None
    #: The image as it was recorded, for its header; None where it cannot be read.
    image: Any = None
    frame: Frame | None = None
    flaw: str = ""


def steps(
    recording: Recording,
    cameras: Sequence[Camera],
    copied: Collection[str],
    after: Position | None,
) -> Iterator[Step]:
    """What is in the bag after a position, images decoded. `copied`: topics that come along."""
    by_topic = {camera.topic: camera for camera in cameras}
    others: list[Message] = []
    waiting = 0  # bytes of the others
    position = after
    for message in recording.messages({*by_topic, *copied}, after):
        position = message.position
        camera = by_topic.get(message.topic.name)
        if message.topic.name in copied and not message.damage:
            others.append(message)
            waiting += len(message.data)
        if camera is None:
            if len(others) >= _COUNT or waiting >= _BYTES:
                yield Step(others, position)
                others, waiting = [], 0
            continue
        step = Step(others, position, camera, message)
        others, waiting = [], 0
        try:
            image = recording.deserialize(message)
            step = replace(step, image=image, frame=_frame(image, camera))
        except MessageError as error:
            step = replace(step, flaw=str(error))
        except FrameError as error:
            seconds = message.time_ns / 1e9
            step = replace(step, flaw=f"{camera.topic} at {seconds:.3f} s: {error}")
        yield step
    if others and position is not None:
        yield Step(others, position)


def _frame(image: Any, camera: Camera) -> Frame:
    if camera.compressed:
        return compressed.to_frame(image, _MOST_PIXELS)
    return uncompressed.to_frame(image)
