"""What is found about the transport, and that the shipped profile works where memory is short."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from regseg_ros.transport import Severity, findings, is_fast_dds, read_profile, stale_segments

PROFILE, LARGE = ROOT / "config" / "fastdds.xml", ROOT / "config" / "fastdds-large.xml"
DOCKER = 64 << 20
NAMESPACES = ["unshare", "-rnm"]


def in_container(command: list[str]) -> list[str]:
    """A command that has 64 MB of shared memory and no network; skips where that cannot be."""
    mount = f"mount -t tmpfs -o size={DOCKER} tmpfs /dev/shm && ip link set lo up && "
    prefix = [*NAMESPACES, "sh", "-c", mount + 'exec "$@"', "-"]
    try:
        allowed = subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("namespaces cannot be made here")
    return [*prefix, *command]


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    return folder


@pytest.fixture
def plenty(tmp_path: Path) -> Path:
    file = tmp_path / "rmem_max"
    file.write_text(f"{1 << 30}\n")
    return file


def said(environment: dict[str, str], memory: Path, limit: Path) -> str:
    return "\n".join(str(finding) for finding in findings(environment, memory, limit))


def profile(path: Path, segment: int) -> dict[str, str]:
    text = PROFILE.read_text().replace("12582912", str(segment))
    path.write_text(text)
    return {"FASTRTPS_DEFAULT_PROFILES_FILE": str(path)}


def test_the_shipped_profile_fits_a_container() -> None:
    shipped, large = read_profile(PROFILE), read_profile(LARGE)
    assert 4 * shipped.needed < DOCKER, "four processes"
    assert shipped.segment >= 2 * 1920 * 1080 * 3, "two frames in flight"
    assert large.segment >= 2 * 3840 * 2160 * 3
    assert shipped.receive_buffer == 4 << 20 and large.receive_buffer > shipped.receive_buffer


@pytest.mark.parametrize(
    ("distribution", "read", "other"),
    [
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("lyrical", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_variable(distribution: str, read: str, other: str, memory: Path, plenty: Path) -> None:
    here = {"ROS_DISTRO": distribution}
    assert f"{read} is not set" in (text := said(here, memory, plenty))
    assert f"export {read}=$(ros2 pkg prefix regseg_ros)" in text
    text = said({**here, other: str(PROFILE)}, memory, plenty)
    assert text.endswith(f": export {read}={PROFILE}") and f"{other} is set" in text
    assert said({**here, read: str(PROFILE)}, memory, plenty) == ""
    assert said({**here, "FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, memory, plenty) == ""


def test_wheels_may_be_of_either(memory: Path, plenty: Path) -> None:
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        assert said({name: str(PROFILE)}, memory, plenty) == ""
    assert "is not set" in said({}, memory, plenty)


def test_a_file_that_is_no_profile(tmp_path: Path, memory: Path, plenty: Path) -> None:
    file = tmp_path / "mine.xml"
    here = {"FASTRTPS_DEFAULT_PROFILES_FILE": str(file)}
    assert f"{file} cannot be read" in said(here, memory, plenty)
    for text in ("", "<profiles>", "<a><transport_descriptor><receiveBufferSize>much"):
        file.write_text(text)
        assert f"{file} cannot be read" in said(here, memory, plenty), text
    many = PROFILE.read_text().replace("4194304", "much")
    file.write_text(many)
    assert "cannot be read" in said(here, memory, plenty)
    file.write_text("<profiles/>")
    assert said(here, memory, plenty) == "", "a profile of the user's own without shared memory"


def test_shared_memory_that_is_refused(tmp_path: Path, plenty: Path) -> None:
    here = {"FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE)}
    assert "does not exist" in said(here, tmp_path / "nowhere", plenty)
    assert "--ipc host" in said(here, tmp_path / "nowhere", plenty)


def test_shared_memory_that_is_too_small(tmp_path: Path, memory: Path, plenty: Path) -> None:
    # Larger than the file system of any machine that runs the tests.
    here = profile(tmp_path / "huge.xml", 1 << 60)
    text = said(here, memory, plenty)
    assert "shared memory is too small" in text and "--shm-size" in text


def test_stale_segments(memory: Path) -> None:
    sizes = {"alive": 10, "small": 20, "large": 30, "port7411": 40}
    for name, size in sizes.items():
        (memory / f"fastrtps_{name}").write_bytes(bytes(size))
        (memory / f"fastrtps_{name}_el").touch()
    with (memory / "fastrtps_alive_el").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        names = [path.name for path in stale_segments(memory)]
    assert names == ["fastrtps_large", "fastrtps_small"]


def test_receive_buffers(tmp_path: Path, memory: Path) -> None:
    limit = tmp_path / "rmem_max"
    limit.write_text("212992\n")
    (found,) = findings({"FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE)}, memory, limit)
    assert found.severity is Severity.INFO, "it costs nothing on one machine"
    assert "0.2 MB of the 4.2 MB" in found.problem
    assert "sysctl -w net.core.rmem_max=4194304" in found.remedy


def test_another_middleware(tmp_path: Path, memory: Path, plenty: Path) -> None:
    cyclone = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    assert "CYCLONEDDS_URI" in said(cyclone, memory, plenty)
    xml = '<Internal><SocketReceiveBufferSize max="4MB"/></Internal>'
    assert said({**cyclone, "CYCLONEDDS_URI": xml}, memory, plenty) == ""
    file = tmp_path / "cyclone.xml"
    assert said({**cyclone, "CYCLONEDDS_URI": f"file://{file}"}, memory, plenty) != ""
    file.write_text(xml)
    assert said({**cyclone, "CYCLONEDDS_URI": f"file://{file}"}, memory, plenty) == ""
    assert "rmw_zenoh_cpp" in said({"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}, memory, plenty)


def test_the_vendor_of_a_publisher() -> None:
    fast, cyclone = "010f3d11ae7e54a70000000000001303", "0110250be676c81a6e8daf6400000203"
    assert is_fast_dds(bytes.fromhex(fast)) and is_fast_dds(list(bytes.fromhex(fast)))
    assert not is_fast_dds(bytes.fromhex(cyclone)) and not is_fast_dds([])


KILLED = """
import subprocess, sys
from regseg_ros.transport import findings
program = [sys.executable, "-c", '''
import sys, rclpy
rclpy.init()
node = rclpy.create_node("idle")
print("ready", flush=True)
sys.stdin.read()''']
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
nodes = [subprocess.Popen(program, **pipes) for _ in range(4)]
for node in nodes:
    node.stdout.readline()
here = {"FASTRTPS_DEFAULT_PROFILES_FILE": sys.argv[1]}
print([str(finding) for finding in findings(here)])
for node in nodes:
    node.kill()
    node.wait()
(full,) = findings(here)
print(full)
subprocess.run(full.remedy, shell=True, check=True)
print("left:", findings(here))
"""


@pytest.mark.integration
def test_memory_that_killed_processes_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(PROFILE))
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(PROFILE))
    # A rig of another test may have set it; it gives each process a second, small segment.
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    command = in_container([sys.executable, "-c", KILLED, str(PROFILE)])
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    living, killed, after = result.stdout.splitlines()
    assert "shared memory is full" in living and "killed" not in living
    assert "4 segments of killed processes hold 53 MB" in killed
    assert after == "left: []"


@pytest.mark.slow
def test_frames_arrive_where_memory_is_short() -> None:
    """Three processes in 64 MB, and five: the last ones go over UDP."""
    in_container([])
    command = [sys.executable, "scripts/measure_transport.py", "--only", "container"]
    command += ["--size", "1280x720", "--reliability", "best_effort"]
    command += ["--rate", "30", "--frames", "30", "--repeat", "1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = re.findall(r"^\| container, (\d) processes \| (\d+) \|$", result.stdout, re.M)
    assert [processes for processes, _ in rows] == ["3", "5"]
    assert min(int(frames) for _, frames in rows) >= 28, result.stdout
    # The five print that two of them are refused; that is after the line of the three.
    refused = "Unable to Register SHM Transport"
    assert refused not in result.stderr.partition("container, 3 processes {")[0]
