"""The files of a bag, and in which order: from its metadata.yaml, or from their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import yaml

from regseg_core.bag.errors import BagError
from regseg_core.bag.storage.file import Report

_METADATA = "metadata.yaml"
_SUFFIXES = (".mcap", ".db3")
#: After one of these, where rosbag2 compressed the file.
COMPRESSED = ".zstd"

#: That of a bag with thousands of files and topics is smaller.
_MOST_METADATA_BYTES = 16 << 20


@dataclass(frozen=True)
class BagFiles:
    """Files in order, and by topic what metadata.yaml says: numbers of messages, type hashes."""

    paths: list[Path]
    counts: Mapping[str, int] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)


def find_files(path: Path, report: Report) -> BagFiles:
    """Those of a bag's folder, or the one file. Raises BagError where there are none."""
    if not path.is_dir():
        _check_file(path)
        return BagFiles([path])
    try:
        there = sorted(filter(_is_bag_file, path.iterdir()), key=_in_order)
    except OSError as error:
        raise BagError(f"cannot read {path}: {error.strerror}") from error
    # A recorder that was killed while it compressed a file leaves both.
    there = [p for p in there if p.suffix != COMPRESSED or p.with_suffix("") not in there]
    listed = _read_metadata(path / _METADATA, report)
    if listed is None:
        files = BagFiles(there)
    else:
        for missing in [p for p in listed.paths if p not in there]:
            report(f"{missing.name} is missing: {_METADATA} lists it")
        others = [p for p in there if p not in listed.paths]
        for other in others:
            report(f"{other.name} is read after the others: {_METADATA} does not list it")
        paths = [p for p in listed.paths if p in there] + others
        # What others hold was not counted.
        files = BagFiles(paths, None if others else listed.counts, listed.digests)
    if not files.paths:
        for old in path.glob("*.bag"):
            _check_file(old)
        raise BagError(f"there are no .mcap or .db3 files in {path}: give the folder of a bag")
    return files


def _check_file(path: Path) -> None:
    """Raises BagError where that is no file that a bag has."""
    if not path.is_file():
        raise BagError(f"there is no bag at {path}: give its folder, or its .mcap or .db3 file")
    if path.suffix == ".bag":
        raise BagError(
            f"{path} is a bag of ROS 1: convert it with"
            f" `rosbags-convert --src {path} --dst {path.with_suffix('')}` and give that folder"
        )
    if not _is_bag_file(path):
        raise BagError(f"{path} is no .mcap or .db3 file: give one, or the folder of a bag")


def _is_bag_file(path: Path) -> bool:
    name = path.name.removesuffix(COMPRESSED)
    return name.endswith(_SUFFIXES) and path.is_file()


def _in_order(path: Path) -> list[str | int]:
    """Sorts `drive_10` behind `drive_9`."""
    return [int(p) if i % 2 else p for i, p in enumerate(re.split(r"([0-9]+)", path.name))]


def _read_metadata(path: Path, report: Report) -> BagFiles | None:
    """What it lists, whether there or not; None, which is reported, where it cannot be read."""
    order = "files are read in the order of their numbers"
    if not path.is_file():
        report(f"{_METADATA} is missing, as where a recorder is killed: {order}")
        return None
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_METADATA_BYTES)
        content = yaml.safe_load(text)["rosbag2_bagfile_information"]
        topics = [topic["topic_metadata"] for topic in content["topics_with_message_count"]]
        counts = [int(topic["message_count"]) for topic in content["topics_with_message_count"]]
        # Older recorders put the folder before the name.
        names = [PurePath(name).name for name in content["relative_file_paths"]]
        return BagFiles(
            [path.with_name(name) for name in dict.fromkeys(names)],
            {topic["name"]: count for topic, count in zip(topics, counts, strict=True)},
            {topic["name"]: str(topic.get("type_description_hash", "")) for topic in topics},
        )
    except (
        yaml.YAMLError,
        OSError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        report(f"{_METADATA} is damaged ({type(error).__name__}): {order}")
        return None
