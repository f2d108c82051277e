"""A camera of another vendor: Image messages by Cyclone DDS, for measure_transport.py.

Needs the package cyclonedds:  python scripts/cyclone_camera.py WIDTHxHEIGHT RATE FRAMES
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

TOPIC = "camera/image_raw"


def send(
    subscribers: Callable[[], int], publish: Callable[[], object], rate: float, frames: int
) -> None:
    """Publishes at a steady rate, from a second after the first subscriber is there."""
    while not subscribers():
        time.sleep(0.05)
    time.sleep(1)  # until the subscriber knows us as well
    due = time.monotonic()
    for _ in range(frames):
        publish()
        due += 1 / rate
        time.sleep(max(0, due - time.monotonic()))
    time.sleep(1)


def main(size: str, rate: float, frames: int) -> None:
    from cyclonedds.core import Policy, Qos
    from cyclonedds.domain import DomainParticipant
    from cyclonedds.idl import IdlStruct, types
    from cyclonedds.idl.annotations import final
    from cyclonedds.pub import DataWriter
    from cyclonedds.topic import Topic
    from cyclonedds.util import duration

    @dataclass
    @final
    class Image(IdlStruct, typename="sensor_msgs::msg::dds_::Image_"):  # type: ignore[call-arg, misc]
        # The header, flat: the bytes are the same.
        sec: types.int32
        nanosec: types.uint32
        frame_id: str
        height: types.uint32
        width: types.uint32
        encoding: str
        is_bigendian: types.uint8
        step: types.uint32
        data: types.sequence[types.uint8]

    participant = DomainParticipant(0)
    reliable = Policy.Reliability.Reliable(duration(milliseconds=100))
    qos = Qos(reliable, Policy.History.KeepLast(5))
    writer = DataWriter(participant, Topic(participant, f"rt/{TOPIC}", Image), qos=qos)
    width, height = map(int, size.split("x"))
    pixels = bytes(3 * width * height)
    image = Image(0, 0, "camera", height, width, "bgr8", 0, 3 * width, pixels)
    # Once: in Python it takes longer than a frame's time.
    serialized = image.serialize()
    image.serialize = lambda **_: serialized
    send(lambda: len(writer.get_matched_subscriptions()), lambda: writer.write(image), rate, frames)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
