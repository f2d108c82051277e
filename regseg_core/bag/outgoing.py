"""What is made of a frame -> messages as ROS has them, and the topics they are recorded on."""

from __future__ import annotations

from typing import Any

import numpy as np
from rosbags.interfaces import (
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from regseg_core.arrays import Image
from regseg_core.bag.deserializing import COMPRESSED_IMAGE, IMAGE, digest_of
from regseg_core.bag.parts import Channel
from regseg_core.bag.recording import Topic
from regseg_core.labels import LabelSet
from regseg_core.outputs import OUTPUTS, Output

LABEL_INFO = "vision_msgs/msg/LabelInfo"

_TYPES = get_typestore(Stores.LATEST)
_TYPES.register(
    get_types_from_msg("uint16 class_id\nstring class_name\n", "vision_msgs/msg/VisionClass")
)
_TYPES.register(
    get_types_from_msg(
        "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n",
        LABEL_INFO,
    )
)

#: Of an output's name: it is recorded as a compressed image.
_COMPRESSED = "/compressed"

OUTPUT_NAMES = [name + suffix for name in OUTPUTS for suffix in ("", _COMPRESSED)]


def _qos(durability: QosDurability) -> tuple[Qos]:
    """The node's: reliable, the newest one."""
    ever = QosTime(2147483647, 4294967295)
    automatic = QosLiveliness.AUTOMATIC
    reliable = QosReliability.RELIABLE
    return (Qos(QosHistory.KEEP_LAST, 1, reliable, durability, ever, ever, automatic, ever, False),)


_VOLATILE, _LATCHED = _qos(QosDurability.VOLATILE), _qos(QosDurability.TRANSIENT_LOCAL)


def output_channel(prefix: str, name: str) -> Channel:
    """Where an output of `OUTPUT_NAMES` is recorded. `prefix`: such as `/regseg/front`."""
    kind = COMPRESSED_IMAGE if name.endswith(_COMPRESSED) else IMAGE
    return _channel(f"{prefix}/{name}", kind, _VOLATILE)


def label_info_channel(prefix: str) -> Channel:
    """Where the classes are told."""
    return _channel(f"{prefix}/label_info", LABEL_INFO, _LATCHED)


def copied_channel(topic: Topic) -> Channel | None:
    """A recorded topic as it was; None where the bag does not say its type, or it is not in CDR.

    Humble's sqlite3 defines no types: one that ROS does not know either has an empty definition.
    """
    recorded = topic.connection
    if not topic.msgtype or getattr(recorded.ext, "serialization_format", "cdr") != "cdr":
        return None
    qos = tuple(getattr(recorded.ext, "offered_qos_profiles", ()))
    undefined = recorded.msgdef.format == MessageDefinitionFormat.NONE
    if undefined and topic.msgtype in _TYPES.fielddefs:
        return _channel(topic.name, topic.msgtype, qos)
    digest = recorded.digest or digest_of(recorded)
    return Channel(topic.name, topic.msgtype, recorded.msgdef.data, digest, qos)


def output_of(name: str) -> Output:
    """The row of `OUTPUTS` that one of `OUTPUT_NAMES` is of."""
    return OUTPUTS[name.removesuffix(_COMPRESSED)]


def output_message(name: str, pixels: Image, header: Any) -> memoryview:
    """A serialised Image or CompressedImage of an output's pixels, under the camera's header.

    `pixels`: H x W x 3 (rgb8) or H x W (mono8) uint8.
    """
    output, header = output_of(name), _header(header.stamp, header.frame_id)
    if name.endswith(_COMPRESSED):
        data = np.frombuffer(output.codec.encode(pixels), np.uint8)
        return _serialized(
            COMPRESSED_IMAGE, header=header, format=output.compressed_format(pixels), data=data
        )
    return _serialized(
        IMAGE,
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=output.encoding,
        is_bigendian=0,
        step=pixels[0].size,
        data=pixels.reshape(-1),
    )


def label_info_message(labels: LabelSet, time_ns: int) -> memoryview:
    """A serialised LabelInfo: id and name of every class."""
    entry = _TYPES.types["vision_msgs/msg/VisionClass"]
    stamp = _TYPES.types["builtin_interfaces/msg/Time"](*divmod(time_ns, 10**9))
    classes = [entry(class_id=c.id, class_name=c.name) for c in labels.classes]
    return _serialized(LABEL_INFO, header=_header(stamp, ""), class_map=classes, threshold=0.0)


def _channel(topic: str, msgtype: str, qos: tuple[Qos, ...]) -> Channel:
    definition, _ = _TYPES.generate_msgdef(msgtype, ros_version=2)
    return Channel(topic, msgtype, definition, _TYPES.hash_rihs01(msgtype), qos)


def _header(stamp: Any, frame_id: str) -> Any:
    return _TYPES.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def _serialized(msgtype: str, **fields: Any) -> memoryview:
    return _TYPES.serialize_cdr(_TYPES.types[msgtype](**fields), msgtype)
