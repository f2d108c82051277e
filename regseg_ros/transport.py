"""What of this machine and environment costs frames between a camera and this process, and why."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from xml.etree import ElementTree

SHARED_MEMORY = Path("/dev/shm")
#: The most that the kernel gives a UDP socket, in bytes.
RECEIVE_LIMIT = Path("/proc/sys/net/core/rmem_max")

FAST_DDS = "rmw_fastrtps_cpp"
#: The variable was renamed with Fast DDS 3.
FAST_DDS_2, FAST_DDS_3 = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
DISTRIBUTIONS_OF_FAST_DDS_2 = ("humble", "iron", "jazzy")
#: Where Fast DDS' own transports are chosen in words, as in UDPv4 or LARGE_DATA.
TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"

PROFILE = "$(ros2 pkg prefix regseg_ros)/share/regseg_ros/config/fastdds.xml"
#: It asks: with min= instead of max= Cyclone DDS does not start where the kernel gives less.
CYCLONE = (
    '<CycloneDDS><Domain><Internal><SocketReceiveBufferSize max="4MB"/></Internal></Domain>'
    "</CycloneDDS>"
)
#: A camera, this node and one that looks at it.
FEWEST_PARTICIPANTS = 3
#: Bytes that a process takes besides its segment: its ports, and rmw's second, small segment.
BESIDES = 1 << 20
MB = 1e6


class Severity(Enum):
    """How bad a finding is: costs frames on this machine, or from another one alone."""

    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """Something that costs frames, and what to do about it."""

    severity: Severity
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


@dataclass(frozen=True)
class Profile:
    """What a Fast DDS profile asks for, in bytes; 0 for what it does not say."""

    segment: int
    receive_buffer: int

    @property
    def needed(self) -> int:
        """Bytes of shared memory that one process takes; the segment's own tables are 4.7 %."""
        return self.segment * 21 // 20 + BESIDES if self.segment else 0


def findings(
    environment: Mapping[str, str],
    shared_memory: Path = SHARED_MEMORY,
    receive_limit: Path = RECEIVE_LIMIT,
) -> list[Finding]:
    """What is wrong for a process that starts in `environment`. Ask before rclpy makes its
    participant: that takes its part of the shared memory, and prints on stderr where it cannot.
    """
    middleware = environment.get("RMW_IMPLEMENTATION") or FAST_DDS
    if "fastrtps" not in middleware:
        return _of_another_middleware(middleware, environment)
    path, found = _profile_path(environment)
    if path is None:
        return found
    try:
        profile = read_profile(path)
    except (OSError, ValueError) as error:
        return [
            *found,
            Finding(
                Severity.WARNING,
                f"the Fast DDS profile {path} cannot be read ({error}), and Fast DDS goes on with"
                " its own 512 KB of shared memory",
                f"name the one of this package: {PROFILE}",
            ),
        ]
    if profile.segment:
        found += _of_shared_memory(profile.needed, shared_memory)
    return found + _of_receive_buffers(profile.receive_buffer, receive_limit)


def warnings(found: Iterable[Finding]) -> list[str]:
    """Those that cost frames on this machine."""
    return [str(finding) for finding in found if finding.severity is Severity.WARNING]


def command(environment: Mapping[str, str]) -> str:
    """What a shell is to be told, so that a process has shared memory that fits images."""
    distribution = environment.get("ROS_DISTRO", DISTRIBUTIONS_OF_FAST_DDS_2[-1])
    old = distribution in DISTRIBUTIONS_OF_FAST_DDS_2
    return f"export {FAST_DDS_2 if old else FAST_DDS_3}={PROFILE}"


def is_fast_dds(gid: Iterable[int]) -> bool:
    """Whether a publisher is one of Fast DDS, by its `endpoint_gid`: that begins with the vendor.

    A reliable reader of Fast DDS can hang on a sample without bytes, as Cyclone DDS sends it when
    frames have to be sent again (docs/transport.md).
    """
    return bytes(gid)[:2] == b"\x01\x0f"


def read_profile(path: Path) -> Profile:
    """Raises OSError for a file that cannot be read, ValueError for one that is no profile."""
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from error
    segment = receive_buffer = 0
    for descriptor in root.iterfind(".//{*}transport_descriptor"):
        if descriptor.findtext("{*}type", "").strip() == "SHM":
            segment = int(descriptor.findtext("{*}segment_size", "524288"))
        else:
            receive_buffer = int(descriptor.findtext("{*}receiveBufferSize", "0"))
    return Profile(segment, receive_buffer)


def stale_segments(shared_memory: Path = SHARED_MEMORY) -> list[Path]:
    """Segments of killed processes, the largest first: Fast DDS never removes them.

    A living process holds a lock on the file that is named like its segment, with `_el` behind.
    """
    segments = []
    for lock in shared_memory.glob("fastrtps_*_el"):
        segment = lock.with_name(lock.name.removesuffix("_el"))
        if not segment.name.startswith("fastrtps_port") and segment.exists() and not _held(lock):
            segments.append(segment)
    return sorted(segments, key=_size, reverse=True)


def _held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            # Shared: it fails beside the owner's exclusive one, and disturbs no other reader.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _profile_path(environment: Mapping[str, str]) -> tuple[Path | None, list[Finding]]:
    distribution = environment.get("ROS_DISTRO")
    if distribution is None:  # wheels do not say which they are
        read, other = (FAST_DDS_2, FAST_DDS_3)
        if not environment.get(read):
            read, other = other, read
    elif distribution in DISTRIBUTIONS_OF_FAST_DDS_2:
        read, other = FAST_DDS_2, FAST_DDS_3
    else:
        read, other = FAST_DDS_3, FAST_DDS_2
    if value := environment.get(read):
        return Path(value), []
    if environment.get(TRANSPORTS):
        return None, []
    own = "and Fast DDS' own shared memory of 512 KB loses most frames above 0.5 MB at best effort"
    if value := environment.get(other):
        problem = f"{other} is set, but ROS 2 {distribution} reads {read}, {own}"
        return None, [Finding(Severity.WARNING, problem, f"export {read}={value}")]
    variable = read if distribution else FAST_DDS_2
    remedy = f"export {variable}={PROFILE}, for the camera driver too"
    return None, [Finding(Severity.WARNING, f"{variable} is not set, {own}", remedy)]


def _of_shared_memory(needed: int, folder: Path) -> list[Finding]:
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        what = "cannot be written" if folder.is_dir() else "does not exist"
        return [
            Finding(
                Severity.WARNING,
                f"shared memory is refused: {folder} {what}, and frames go over UDP",
                "mount a tmpfs there that every user may write, or give the container --ipc host",
            )
        ]
    room = os.statvfs(folder)
    total, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
    more = "docker run --shm-size 256m or --ipc host; elsewhere mount -o remount,size=256m"
    if total < FEWEST_PARTICIPANTS * needed:
        return [
            Finding(
                Severity.WARNING,
                f"shared memory is too small: {folder} has {total / MB:.0f} MB, and the profile"
                f" takes {needed / MB:.0f} MB a process: it holds {total // needed}, the others go"
                " over UDP",
                f"{more} {folder}",
            )
        ]
    if free >= needed:
        return []
    problem = (
        f"shared memory is full: {folder} has {free / MB:.0f} of {total / MB:.0f} MB left and this"
        f" process needs {needed / MB:.0f} MB, so that its frames go over UDP"
    )
    if stale := stale_segments(folder):
        held = sum(map(_size, stale)) / MB
        problem += f"; {len(stale)} segments of killed processes hold {held:.0f} MB of it"
        files = " ".join(f"{path}*" for path in stale[:8])
        return [Finding(Severity.WARNING, problem, f"rm {files}")]
    return [Finding(Severity.WARNING, problem, f"end processes, or {more} {folder}")]


def _of_receive_buffers(wanted: int, limit: Path) -> list[Finding]:
    try:
        given = int(limit.read_text())
    except (OSError, ValueError):
        return []
    if given >= wanted:
        return []
    return [
        Finding(
            Severity.INFO,
            f"the kernel gives UDP sockets {given / MB:.1f} MB of the {wanted / MB:.1f} MB that are"
            " asked for, and a camera on the network loses large frames at best effort",
            f"sudo sysctl -w net.core.rmem_max={wanted}, or set qos to reliable",
        )
    ]


def _of_another_middleware(middleware: str, environment: Mapping[str, str]) -> list[Finding]:
    if "cyclonedds" in middleware:
        if "SocketReceiveBufferSize" in _cyclone_settings(environment.get("CYCLONEDDS_URI", "")):
            return []
        return [
            Finding(
                Severity.WARNING,
                f"{middleware} reads no Fast DDS profile, and its receive buffer of 1 MB loses"
                " large frames at best effort",
                f"export CYCLONEDDS_URI='{CYCLONE}' and sudo sysctl -w net.core.rmem_max=4194304",
            )
        ]
    return [
        Finding(
            Severity.INFO,
            f"{middleware} reads no Fast DDS profile",
            "if large frames are lost, set qos to reliable; see docs/transport.md",
        )
    ]


def _cyclone_settings(uri: str) -> str:
    """The XML that the variable holds, or that the file holds which it names."""
    try:
        return Path(uri.removeprefix("file://")).read_text() if "<" not in uri else uri
    except OSError:
        return ""
