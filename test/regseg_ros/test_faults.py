"""Faults of cameras, over DDS: after each one the next good frame is segmented."""

from __future__ import annotations

import array
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.serialization import serialize_message
from rig import Rig, image, rig, status
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.encodings import ENCODINGS

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("faults")]

FRAME = SyntheticStreets(1, 96, 64)[0][0]
RAW, COMPRESSED = "/front/image_raw", "/rear/image_raw/compressed"
ENDS = ("segmented", "dropped", "unwanted", "refused", "failed")


class Faulty:
    """A node with two cameras, one of them compressed, and their labels."""

    def __init__(self, rig_: Rig) -> None:
        self.rig = rig_
        #: Faults for which frames had to be refused.
        self.refused = 0
        #: Headers' frames of those that had to be segmented.
        self.sent: set[str] = set()
        self.labels = {
            RAW: rig_.listen("/regseg/front/label"),
            COMPRESSED: rig_.listen("/regseg/rear/label"),
        }
        self.good = {RAW: lambda: image(FRAME, "rgb8"), COMPRESSED: lambda: compressed(jpeg())}
        rig_.publisher(COMPRESSED, CompressedImage)
        for topic in self.good:
            self.go_on(topic)

    def suffer(self, topic: str, publish: Callable[[], object], counted: bool = True) -> None:
        """A fault, some times over, of which nothing is segmented; the next good frame is.

        `counted`: it comes as far as to be refused.
        """
        labels = self.labels[topic]
        labels.clear()
        for _ in range(3):
            publish()
            self.rig.spin(0.05)
        self.refused += counted
        self.go_on(topic)
        # On a busy machine a good frame may have been sent more than once.
        assert {message.header.frame_id for message in labels} <= self.sent

    def go_on(self, topic: str, message: Any = None) -> None:
        """A frame is segmented, by default a good one."""
        labels, sent = self.labels[topic], message or self.good[topic]()
        self.rig.send_until(sent, lambda: labels and labels[-1].header == sent.header, topic)
        self.sent.add(sent.header.frame_id)
        assert (labels[-1].height, labels[-1].width) == FRAME.shape[:2]

    def counts(self, camera: str) -> dict[str, int]:
        """By what became of the frames, once none is in work."""
        while int((found := status(self.rig, camera))["in work"]):
            self.rig.spin(0.2)
        return {name: int(found[name]) for name in ("received", *ENDS)}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    with rig(tmp_path_factory.mktemp("faults")) as made:
        made.start(
            *("-p", "cameras:=[front, rear]", "-p", "rear.image_transport:=compressed"),
            *("-p", "max_megapixels:=0.01"),
        )
        made.until_said("/regseg/rear/mask")
        yield Faulty(made)


def compressed(data: bytes) -> CompressedImage:
    return CompressedImage(format="jpeg", data=array.array("B", data))


def jpeg(rows: int = FRAME.shape[0], columns: int = FRAME.shape[1]) -> bytes:
    return bytes(cv2.imencode(".jpg", cv2.resize(FRAME, (columns, rows)))[1])


def png() -> bytes:
    return bytes(cv2.imencode(".png", FRAME)[1])


def jpeg_that_says(height: int, width: int) -> bytes:
    data = bytearray(jpeg())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def png_that_says(height: int, width: int) -> bytes:
    return png()[:16] + struct.pack(">II", width, height) + png()[24:]


def wrong(**fields: Any) -> Image:
    message = image(FRAME, "rgb8")
    for name, value in fields.items():
        setattr(message, name, value)
    return message


IMAGES = {
    "data too short": wrong(data=image(FRAME, "rgb8").data[:-1]),
    "no data": wrong(data=array.array("B")),
    "height 0": wrong(height=0),
    "width 0": wrong(width=0),
    "height 70,000": wrong(height=70_000),
    "width 70,000": wrong(width=70_000),
    "both 2^32-1": wrong(height=2**32 - 1, width=2**32 - 1),
    "step 0": wrong(step=0),
    "step 2^32-1": wrong(step=2**32 - 1),
    "no encoding": wrong(encoding=""),
    "unknown encoding": wrong(encoding="holo9"),
    "encoding of 10 kB": wrong(encoding="rgb8" * 2500),
    "frame of 10 kB": wrong(encoding="holo9", header=Header(frame_id="lens" * 2500)),
}


@pytest.mark.parametrize("fault", IMAGES)
def test_images_that_contradict_themselves(fault: str, faulty: Faulty) -> None:
    faulty.suffer(RAW, lambda: faulty.rig.publisher(RAW).publish(IMAGES[fault]))


def test_what_is_only_odd_is_segmented(faulty: Faulty) -> None:
    longer = image(FRAME, "rgb8").data + array.array("B", bytes(99))
    deep = image((FRAME[..., :1].astype(np.uint16) * 257).view(np.uint8), "mono16")
    deep.height, deep.width = FRAME.shape[:2]
    for message in (wrong(data=longer), wrong(is_bigendian=255), deep):
        faulty.go_on(RAW, message)


@pytest.mark.parametrize(
    ("text", "put", "counted"),
    [
        pytest.param(b"rgb8", b"\xff\xfe\x80\xc0", True, id="invalid UTF-8"),
        pytest.param(b"rgb8", b"r\0b8", True, id="a NUL inside"),
        pytest.param(b"\x05\0\0\0rgb8", b"\xff\xff\xff\xffrgb8", True, id="4 GB"),
    ],
)
def test_texts_that_no_honest_publisher_sends(
    text: bytes, put: bytes, counted: bool, faulty: Faulty
) -> None:
    good = serialize_message(image(FRAME, "rgb8"))
    assert good.count(text) == 1
    bad = good.replace(text, put)
    faulty.suffer(RAW, lambda: faulty.rig.publisher(RAW).publish(bad), counted)


@pytest.mark.parametrize("length", [0, 4, 40, 1000])
def test_messages_that_are_cut_off(length: int, faulty: Faulty) -> None:
    for topic in (RAW, COMPRESSED):
        camera = faulty.rig.publisher(topic)
        cut = serialize_message(faulty.good[topic]())[:length]
        # What is no whole CompressedImage, DDS keeps to itself.
        comes = topic == RAW and length > 0
        faulty.suffer(topic, lambda camera=camera, cut=cut: camera.publish(cut), comes)  # type: ignore[misc]


FILES = {
    "nothing": b"",
    "something else": b"GIF89a" * 100,
    "a truncated JPEG": jpeg()[: len(jpeg()) // 2],
    "a truncated PNG": png()[: len(png()) // 2],
    "the start of a JPEG": jpeg()[:30],
    "a corrupt PNG": png()[:60] + bytes(200) + png()[260:],
    "a JPEG over max_megapixels": jpeg(120, 100),
    "a bomb of a JPEG": jpeg_that_says(65_535, 65_535),
    "a bomb of a PNG": png_that_says(60_000, 2**31 - 1),
    "a JPEG of no size": jpeg_that_says(64, 0),
}


@pytest.mark.parametrize("fault", FILES)
def test_files_that_are_broken(fault: str, faulty: Faulty) -> None:
    faulty.suffer(COMPRESSED, lambda: faulty.rig.send(compressed(FILES[fault]), COMPRESSED))


def put(faulty: Faulty, name: str, number: float) -> None:
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=number)
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    (result,) = faulty.rig.call(SetParameters, "/regseg/set_parameters", request).results
    assert result.successful, result.reason


@pytest.mark.parametrize("max_age_ms", [0.0, 5000.0])
def test_stamps_of_every_time(max_age_ms: float, faulty: Faulty) -> None:
    put(faulty, "max_age_ms", max_age_ms)
    camera, labels, now = faulty.rig.publisher(RAW), faulty.labels[RAW], int(time.time())
    labels.clear()

    def stamps() -> set[tuple[int, int]]:
        return {(label.header.stamp.sec, label.header.stamp.nanosec) for label in labels}

    def send(stamp: tuple[int, int], times: int) -> None:
        message = image(FRAME, "rgb8")
        message.header.stamp = Time(sec=stamp[0], nanosec=stamp[1])
        for _ in range(times):
            camera.publish(message)
            faulty.rig.until(
                lambda: stamp in stamps(), seconds=1 if times > 3 else 0.1, strict=False
            )
            if stamp in stamps():
                break

    # At once; the ends of what a stamp can say; in an hour; going back.
    young = [(0, 0), (2**31 - 1, 2**32 - 1), (now + 3600, 5), (now + 3599, 0)]
    old = [(now - 100, 0), (1, 0), (-1, 2**32 - 1), (-(2**31), 0)]
    for stamp in old:
        send(stamp, 3 if max_age_ms else 60)
    assert stamps() == (set() if max_age_ms else set(old))
    for stamp in young:
        send(stamp, 60)
    assert stamps() == {*young, *(set() if max_age_ms else old)}
    put(faulty, "max_age_ms", 0.0)


def test_another_size_and_encoding_with_every_frame(faulty: Faulty) -> None:
    labels = faulty.labels[RAW]
    labels.clear()
    sizes: dict[int, tuple[int, int]] = {}
    for turn in range(2 * len(ENCODINGS)):
        encoding = list(ENCODINGS)[turn % len(ENCODINGS)]
        height, width = 16 + 4 * turn, 136 - 4 * turn
        pixels = ENCODINGS[encoding].from_rgb(cv2.resize(FRAME, (width, height)).astype(np.uint8))
        message = faulty.rig.send(image(pixels, encoding), RAW)
        sizes[message.header.stamp.sec] = (height, width)
        count = len(labels)
        faulty.rig.until(lambda count=count: len(labels) > count, 0.5, strict=False)  # type: ignore[misc]
    faulty.go_on(RAW)
    found = {m.header.stamp.sec: (m.height, m.width) for m in labels[:-1]}
    assert len(found) > 4
    assert found.items() <= sizes.items()


def test_every_frame_is_counted_after_all_that(faulty: Faulty) -> None:
    refused = 0
    for topic, camera in ((RAW, "front"), (COMPRESSED, "rear")):
        faulty.go_on(topic)
        counts = faulty.counts(camera)
        assert counts["received"] == sum(counts[name] for name in ENDS)
        refused += counts["refused"]
        assert counts["failed"] == counts["unwanted"] == 0
    assert refused >= faulty.refused
    assert "Traceback" not in faulty.rig.said()
