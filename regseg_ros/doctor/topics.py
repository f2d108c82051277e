"""A camera's topic, listened to for some seconds: type, QoS, rate, frames and stamps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from regseg_core.errors import FrameError
from regseg_core.messages import compressed, uncompressed
from regseg_ros.doctor.verdict import Verdict, fail, ok, warn
from regseg_ros.graph import conflicts, offers
from regseg_ros.input import BEST_EFFORT, SubscriptionEventCallbacks
from regseg_ros.settings import SegmenterSettings
from regseg_ros.why import COMPRESSED, IMAGE, cure, unheard

#: Seconds that a stamp may be ahead of this clock, and behind it.
AHEAD, BEHIND = 0.1, 1.0

_TYPES = {IMAGE: Image, COMPRESSED: CompressedImage}


@dataclass(frozen=True)
class Heard:
    """One frame: when it came and its stamp in seconds of the same clock, what it is, its bytes."""

    came: float
    stamp: float
    kind: str
    size: int


class Listener:
    """Hears a topic from now on, if somebody publishes images on it."""

    def __init__(self, node: Node, topic: str) -> None:
        self._node, self.topic = node, topic
        self.frames: list[Heard] = []
        self.refusals: dict[str, str] = {}
        self.lost = 0
        types = {offer.type for offer in offers(node, topic)}
        #: What is read there; the node reads images unless `image_transport` says otherwise.
        self.type = COMPRESSED if topic.endswith("/compressed") else IMAGE
        if self.type in types:
            node.create_subscription(
                _TYPES[self.type],
                topic,
                self._on_frame,
                BEST_EFFORT,
                event_callbacks=SubscriptionEventCallbacks(message_lost=self._on_lost),
            )

    def _on_lost(self, lost: Any) -> None:
        self.lost += lost.total_count_change

    def _on_frame(self, message: Any) -> None:
        now = self._node.get_clock().now().nanoseconds * 1e-9
        if not now:
            return  # the simulator's clock has not been heard yet
        stamp = Time.from_msg(message.header.stamp).nanoseconds * 1e-9
        if self.type == IMAGE:
            kind = f"{message.width} x {message.height} {message.encoding}"
        else:
            kind = str(message.format)
        if kind not in self.refusals:
            self.refusals[kind] = _refusal(message)
        self.frames.append(Heard(now, stamp, kind, len(message.data)))


def _refusal(message: Image | CompressedImage) -> str:
    """Why the node would refuse it; empty: it would not."""
    try:
        if isinstance(message, Image):
            uncompressed.to_frame(message)
        else:
            compressed.to_frame(message, int(SegmenterSettings.max_megapixels * 1e6))
    except FrameError as error:
        return str(error)
    return ""


def verdicts(
    node: Node, heard: Listener, images: Mapping[str, str], transport: Sequence[str]
) -> list[Verdict]:
    """What there is to say of a topic. `transport`: what is known to be wrong with it."""
    topic = heard.topic
    publishers = offers(node, topic)
    if (problem := unheard(topic, heard.type, publishers, images)) is not None:
        return [fail("topic", f"{topic}: {problem}")]
    found = [fail("QoS", f"{topic}: {conflict}") for conflict in conflicts(node, topic)]
    if len(publishers) > 1:
        names = ", ".join(sorted(offer.node for offer in publishers))
        found.append(warn("topic", f"{topic}: {len(publishers)} publishers at once: {names}"))
    if heard.lost or not heard.frames:
        found.append(_losses(heard, publishers[0].node, transport))
    if heard.frames:
        found += [_rate(heard.frames, topic), *_refusals(heard), stamps(topic, heard.frames)]
    return found


def _losses(heard: Listener, publisher: str, transport: Sequence[str]) -> Verdict:
    if not heard.lost:
        return fail("topic", f"{heard.topic}: {publisher} publishes it, but no frame came")
    total = heard.lost + len(heard.frames)
    text = (
        f"{heard.topic}: {heard.lost} of {total} frames were lost on their way; {cure(transport)}"
    )
    return (warn if heard.lost < total / 10 else fail)("transport", text)


def _rate(frames: Sequence[Heard], topic: str) -> Verdict:
    kinds = ", ".join(dict.fromkeys(frame.kind for frame in frames))
    size = max(frame.size for frame in frames) / 1e6
    text = f"{topic}: {len(frames)} frames"
    if len(frames) > 1 and (seconds := frames[-1].came - frames[0].came) > 0:
        text += f", {(len(frames) - 1) / seconds:.1f} Hz"
    return ok("frames", f"{text}, {kinds}, {size:.2f} MB each")


def _refusals(heard: Listener) -> list[Verdict]:
    counts = Counter(frame.kind for frame in heard.frames)
    return [
        fail("frames", f"{heard.topic}: {counts[kind]} frames would be refused: {reason}")
        for kind, reason in heard.refusals.items()
        if reason
    ]


def stamps(topic: str, frames: Sequence[Heard]) -> Verdict:
    """The stamps held against the clock by which the frames came."""
    if not any(frame.stamp for frame in frames):
        return fail("stamps", f"{topic}: all are 0; have the driver set header.stamp")
    if back := sum(later.stamp < sooner.stamp for sooner, later in pairwise(frames)):
        return fail(
            "stamps",
            f"{topic}: went back {back} times; two cameras publish it, or a bag plays in a loop",
        )
    age = median(frame.came - frame.stamp for frame in frames)
    if age < -AHEAD:
        return fail(
            "stamps",
            f"{topic}: {-age:.1f} s ahead of this clock; synchronise the clocks (chrony, PTP)",
        )
    if age > BEHIND:
        return fail(
            "stamps",
            f"{topic}: {age:.1f} s behind this clock; synchronise the clocks (chrony, PTP), and for"
            " a bag or a simulator publish /clock and set use_sim_time",
        )
    return ok("stamps", f"{topic}: {age * 1000:.0f} ms old when they come")
