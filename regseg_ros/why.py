"""Why a camera has no mask, in a sentence that says what to do. Knows no node."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from regseg_ros.statistics import COMPILING, LOST, OVER_RATE, TOO_OLD, Report
from regseg_ros.transport import command

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_SUFFIX = "/compressed"
#: Image topics that a sentence names at most.
_NAMED = 5


@dataclass(frozen=True)
class Offer:
    """A publisher on the camera's topic."""

    #: Its node's name, with the namespace.
    node: str
    type: str
    #: Why its QoS does not fit what is asked for; empty where it does.
    conflict: str = ""


@dataclass(frozen=True)
class Situation:
    """What is known of a camera that has no mask."""

    #: The topic by the name that the graph knows, and the type that is read there.
    topic: str
    expected: str
    #: Seconds since the last mask, or since masks are wanted.
    seconds: float
    #: What became of the frames.
    report: Report
    #: Publishers on the topic.
    offers: Sequence[Offer] = ()
    #: Every image topic that somebody publishes, with its type.
    images: Mapping[str, str] = field(default_factory=dict)
    #: What is being compiled or loaded, and for how many seconds; empty: nothing.
    compiling: str = ""
    compiling_for: float = 0.0
    #: What failed in the backends, oldest first.
    backend_failures: Sequence[str] = ()
    #: What is known to be wrong with the transport, each with what to do.
    transport: Sequence[str] = ()

    @property
    def frames(self) -> int:
        """Frames that came lately and were to be segmented."""
        return self.report.lately("received") - self.report.lately("unwanted")


def why(now: Situation) -> str | None:
    """The first thing that stands between the camera and its mask; None where nothing does."""
    if now.frames > 0 and now.frames == now.report.lately(OVER_RATE):
        return None  # `max_rate` asks for it
    cause = unheard(now.topic, now.expected, now.offers, now.images)
    questions = (_refused, _old, _not_ready, _failed, _lost, _silent, _slow)
    cause = cause or next(filter(None, (question(now) for question in questions)))
    return f"no mask of {now.topic} for {now.seconds:.0f} s: {cause}"


def unheard(
    topic: str, expected: str, offers: Sequence[Offer], images: Mapping[str, str]
) -> str | None:
    """Why no publisher's frames can come by that topic; None where one's can."""
    if not offers:
        return _unpublished(topic, images)
    fitting = [offer for offer in offers if offer.type == expected]
    if not fitting:
        return _other_type(topic, expected, offers[0], images)
    if all(offer.conflict for offer in fitting):
        return (
            f"the QoS of {fitting[0].node} does not fit ({fitting[0].conflict}): set qos to"
            " best_effort or auto, or change the driver's"
        )
    return None


def _unpublished(topic: str, images: Mapping[str, str]) -> str:
    if (packed := topic + _SUFFIX) in images:
        return f"nobody publishes it, but {packed} is there: set image_transport to compressed"
    if (raw := topic.removesuffix(_SUFFIX)) in images:
        return f"nobody publishes it, but {raw} is there: set image_transport to raw"
    if not images:
        return (
            "nobody publishes it, nor any other image topic: start the camera driver; both sides"
            " need the same ROS_DOMAIN_ID"
        )
    return (
        "nobody publishes it. Set image_topic to one of the image topics that are there:"
        f" {named(nearest(topic, images))}"
    )


def _other_type(topic: str, expected: str, offer: Offer, images: Mapping[str, str]) -> str:
    found = f"{offer.node} publishes {offer.type} on it, and {expected} is read"
    if offer.type == COMPRESSED and topic.endswith(_SUFFIX):
        raw = topic.removesuffix(_SUFFIX)
        return f"{found}: set image_topic to {raw} and image_transport to compressed"
    if offer.type == COMPRESSED:
        packed = topic + _SUFFIX
        return f"{found}: set image_transport to compressed, and remap {packed} to {topic}"
    if offer.type == IMAGE:
        return f"{found}: set image_transport to raw"
    return f"{found}: set image_topic to a topic of images: {named(nearest(topic, images))}"


def _refused(now: Situation) -> str | None:
    if not (refused := now.report.lately("refused")):
        return None
    return f"{refused} of {now.frames} frames were refused: {now.report.last_refusal}"


def _old(now: Situation) -> str | None:
    if not (old := now.report.lately(TOO_OLD)):
        return None
    return (
        f"{old} of {now.frames} frames were older than max_age_ms: compare the clocks of camera and"
        " node with `ros2 run regseg_ros doctor`, or raise max_age_ms"
    )


def _not_ready(now: Situation) -> str | None:
    if not (now.compiling and now.report.lately(COMPILING)):
        return None
    return (
        f"{now.compiling} has been in the making for {now.compiling_for:.0f} s, and masks come once"
        " it is done; with backend auto PyTorch segments meanwhile"
    )


def _failed(now: Situation) -> str | None:
    if not (failed := now.report.lately("failed")):
        return None
    reason = now.backend_failures[-1] if now.backend_failures else now.report.last_failure
    return f"{failed} of {now.frames} frames could not be segmented: {reason}"


def _lost(now: Situation) -> str | None:
    if now.frames or not (lost := now.report.lately(LOST)):
        return None
    return f"{lost} frames were lost on their way, none came whole. {cure(now.transport)}"


def cure(transport: Sequence[str]) -> str:
    """What to do against lost frames. `transport`: as in Situation."""
    known = "; ".join(transport) or (
        "start the camera driver with the shared memory that images need, too:"
        f" `{command(os.environ)}`"
    )
    return f"{known}. From another machine: set qos to reliable"


def _silent(now: Situation) -> str | None:
    if now.frames:
        return None
    nodes = named([offer.node for offer in now.offers if offer.type == now.expected])
    return (
        f"{nodes} publishes it, but no frame comes: `ros2 run regseg_ros doctor {now.topic}` says"
        " whether any is sent"
    )


def _slow(now: Situation) -> str:
    into, out = now.report.rate("received"), now.report.rate("segmented")
    return (
        f"the network is slower than the camera: {into:.1f} frames a second come, {out:.1f} masks"
        " go. Set network_height and network_width to less"
    )


def nearest(topic: str, images: Iterable[str]) -> list[str]:
    """Image topics, the one whose name is most like `topic` first."""
    return sorted(images, key=lambda name: (-_likeness(topic, name), name))


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def named(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
