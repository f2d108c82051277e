"""Small bags of ROS 2, written for tests as recorders write them, and ways of damaging them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from mcap.reader import make_reader
from mcap.records import ChunkIndex
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.interfaces import Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from regseg_core.bag.recording import Recording
from regseg_core.data.synthetic import SyntheticStreet

Storage = Literal["mcap", "sqlite3"]
Compression = Literal["none", "message", "file", "storage"]  # sqlite3 has no `storage`

STORAGES: tuple[Storage, ...] = ("mcap", "sqlite3")

TYPES = get_typestore(Stores.LATEST)
_Image = TYPES.types["sensor_msgs/msg/Image"]
_CompressedImage = TYPES.types["sensor_msgs/msg/CompressedImage"]
_Header = TYPES.types["std_msgs/msg/Header"]
_Time = TYPES.types["builtin_interfaces/msg/Time"]
_String = TYPES.types["std_msgs/msg/String"]

_MCAP_FORMS: dict[str, tuple[int | None, CompressionType]] = {
    "mcap zstd": (8 << 10, CompressionType.ZSTD),
    "mcap lz4": (8 << 10, CompressionType.LZ4),
    "mcap plain": (8 << 10, CompressionType.NONE),
    "mcap without chunks": (None, CompressionType.NONE),
}
#: Of one file.
FORMS = (*_MCAP_FORMS, "mcap.zstd", "db3", "db3.zstd")

FRONT, REAR, TALK = "/front/image_raw", "/rear/image_raw/compressed", "/talk"
BEGIN_NS = 1_700_000_000_000_000_000


class Sent(NamedTuple):
    """A serialized message as a recorder gets it. Damage the data with `_replace`."""

    topic: str
    time_ns: int
    msgtype: str
    data: bytes


def image(
    topic: str,
    time_ns: int,
    pixels: npt.NDArray[np.uint8],
    encoding: str = "rgb8",
    frame_id: str = "camera",
) -> Sent:
    """H x W or H x W x C uint8 in that encoding, stamped a millisecond before `time_ns`."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1)
    step = data.size // height
    return _sent(
        topic, time_ns, _Image(_header(time_ns, frame_id), height, width, encoding, 0, step, data)
    )


def compressed_image(
    topic: str,
    time_ns: int,
    pixels: npt.NDArray[np.uint8],
    format: Literal["jpeg", "png"] = "jpeg",
    frame_id: str = "camera",
) -> Sent:
    """H x W x 3 uint8 RGB, stamped a millisecond before `time_ns`."""
    _, file = cv2.imencode(f".{format}", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    data = np.frombuffer(file.tobytes(), np.uint8)
    return _sent(topic, time_ns, _CompressedImage(_header(time_ns, frame_id), format, data))


def text(topic: str, time_ns: int, content: str) -> Sent:
    """A std_msgs/String."""
    return _sent(topic, time_ns, _String(content))


def drive(
    frames: int, size: tuple[int, int] = (40, 32), rate: float = 10.0, seed: int = 0
) -> list[Sent]:
    """Two cameras, raw `FRONT` and JPEG `REAR`, and `TALK`: three messages a frame, of equal time.

    Size is width x height.
    """
    street = SyntheticStreet(*size, seed=seed)
    sent = []
    for number in range(frames):
        time_ns = BEGIN_NS + round(number * 1e9 / rate)
        pixels, _ = street.frame(number / rate)
        sent += [
            image(FRONT, time_ns, pixels, frame_id="front"),
            compressed_image(REAR, time_ns, pixels[:, ::-1], frame_id="rear"),
            text(TALK, time_ns, f"frame {number}"),
        ]
    return sent


def write_bag(
    folder: Path,
    messages: Sequence[Sent],
    storage: Storage = "mcap",
    compression: Compression = "none",
    files: int = 1,
    qos: Mapping[str, Sequence[Qos]] | None = None,
) -> Path:
    """The folder of a bag with metadata.yaml, split into so many files of about as many messages.

    `qos`: by topic.
    """
    parts = []
    for number, indices in enumerate(np.array_split(np.arange(len(messages)), files)):
        part = folder.with_name(f"{folder.name}_{number}")
        _write_file(part, [messages[i] for i in indices], messages, storage, compression, qos or {})
        parts.append(part)
    folder.mkdir(parents=True)
    metadata = [yaml.safe_load((part / "metadata.yaml").read_text()) for part in parts]
    for part in parts:
        for path in bag_files(part):
            path.rename(folder / path.name)
        shutil.rmtree(part)
    (folder / "metadata.yaml").write_text(yaml.safe_dump(_joined(metadata)))
    return folder


def write_fleet(root: Path, size: tuple[int, int] = (40, 32), frames: int = 2) -> Path:
    """Two bags in folders, one of them split, and one file alone."""
    messages = drive(frames, size)
    write_bag(root / "monday/one", messages)
    write_bag(root / "monday/two", messages, files=2)
    write_mcap(root / "alone.mcap", messages)
    return root


def write_mcap(
    path: Path,
    messages: Sequence[Sent],
    chunk_bytes: int | None = 16 << 10,
    compression: CompressionType = CompressionType.ZSTD,
    index: bool = True,
    definitions: Mapping[str, str] | None = None,
    encodings: Mapping[str, str] | None = None,
) -> Path:
    """One file with checksums, in chunks as small as that, or none, and without an index at will.

    The recorder of ROS 2 writes such files; rosbags' writer has chunks of a mebibyte, unchecked.
    `definitions` by type, where they are not those of ROS; `encodings` by topic, where not CDR.
    """
    definitions, encodings = definitions or {}, encodings or {}
    with path.open("wb") as file:
        writer = McapWriter(
            file,
            chunk_size=chunk_bytes or 0,
            compression=compression,
            use_chunking=chunk_bytes is not None,
            index_types=IndexType.ALL if index else IndexType.NONE,
        )
        writer.start("ros2", "tests")
        channels: dict[str, int] = {}
        for topic, time_ns, msgtype, data in messages:
            if topic not in channels:
                definition = definitions.get(msgtype)
                if definition is None:
                    definition, _ = TYPES.generate_msgdef(msgtype, ros_version=2)
                schema = writer.register_schema(msgtype, "ros2msg", definition.encode())
                channels[topic] = writer.register_channel(
                    topic, encodings.get(topic, "cdr"), schema
                )
            writer.add_message(channels[topic], time_ns, data, time_ns)
        writer.finish()  # type: ignore[no-untyped-call]
    return path


def write_form(folder: Path, messages: Sequence[Sent], form: str) -> Path:
    """One file in one of `FORMS`."""
    if form in _MCAP_FORMS:
        return write_mcap(folder / "drive.mcap", messages, *_MCAP_FORMS[form])
    storage: Storage = "mcap" if form.startswith("mcap") else "sqlite3"
    compression: Compression = "file" if form.endswith("zstd") else "none"
    (path,) = bag_files(write_bag(folder / "bag", messages, storage, compression))
    return path


def read_bag(path: Path) -> tuple[list[Sent], list[str]]:
    """What is given of a bag, the same twice and behind each third message, and the flaws."""
    with Recording(path) as recording:
        messages = list(recording.messages())
        flaws = [*recording.flaws]
        assert list(recording.messages()) == messages and recording.flaws == flaws
    with Recording(path) as recording:
        for number in range(0, len(messages), 3):
            rest = list(recording.messages(after=messages[number].position))
            assert rest == messages[number + 1 :]
    whole = [message for message in messages if not message.damage]
    return [Sent(m.topic.name, m.time_ns, m.topic.msgtype, m.data) for m in whole], flaws


def chunks_of(path: Path) -> list[ChunkIndex]:
    """Where a whole mcap file has its chunks, in order."""
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    return sorted(summary.chunk_indexes, key=lambda index: index.chunk_start_offset)


def bag_files(folder: Path) -> list[Path]:
    """All but metadata.yaml, in order."""
    return sorted(path for path in folder.iterdir() if path.suffix != ".yaml")


def cut_off(path: Path, size: int) -> Path:
    """Leaves so many bytes of a file."""
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def overwrite(path: Path, place: int, data: bytes) -> Path:
    """Puts other bytes at a place."""
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)
    return path


def _header(time_ns: int, frame_id: str) -> Any:
    stamp_ns = time_ns - 1_000_000
    return _Header(_Time(stamp_ns // 10**9, stamp_ns % 10**9), frame_id)


def _sent(topic: str, time_ns: int, message: Any) -> Sent:
    msgtype = message.__msgtype__
    return Sent(topic, time_ns, msgtype, bytes(TYPES.serialize_cdr(message, msgtype)))


def _write_file(
    folder: Path,
    messages: Iterable[Sent],
    all_messages: Iterable[Sent],
    storage: Storage,
    compression: Compression,
    qos: Mapping[str, Sequence[Qos]],
) -> None:
    """A bag of one file. Like a recorder, it names all topics in each of a bag's files."""
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin[storage.upper()])
    writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {
            topic: writer.add_connection(
                topic, msgtype, typestore=TYPES, offered_qos_profiles=qos.get(topic, ())
            )
            for topic, msgtype in {m.topic: m.msgtype for m in all_messages}.items()
        }
        for message in messages:
            writer.write(connections[message.topic], message.time_ns, message.data)


def _joined(parts: Sequence[Any]) -> Any:
    """Contents of metadata.yaml of bags of one file -> that of the bag of them all."""
    bags = [part["rosbag2_bagfile_information"] for part in parts]
    begins = [bag["starting_time"]["nanoseconds_since_epoch"] for bag in bags]
    ends = [b + bag["duration"]["nanoseconds"] for b, bag in zip(begins, bags, strict=True)]
    joined = dict(bags[0])
    joined["relative_file_paths"] = [path for bag in bags for path in bag["relative_file_paths"]]
    joined["files"] = [file for bag in bags for file in bag["files"]]
    joined["message_count"] = sum(bag["message_count"] for bag in bags)
    joined["starting_time"] = {"nanoseconds_since_epoch": min(begins)}
    joined["duration"] = {"nanoseconds": max(ends) - min(begins)}
    joined["topics_with_message_count"] = [
        {
            "topic_metadata": topics[0]["topic_metadata"],
            "message_count": sum(topic["message_count"] for topic in topics),
        }
        for topics in zip(*(bag["topics_with_message_count"] for bag in bags), strict=True)
    ]
    return {"rosbag2_bagfile_information": joined}
