#!/usr/bin/env python3
"""Counts the camera frames that arrive in each situation of docs/transport.md, as its table.

    python scripts/measure_transport.py [--cyclone PYTHON] [--only TEXT] [--repeat 3]

Each run has a network and a /dev/shm of its own (unshare: root or user namespaces), so that nothing
else is heard. The camera is a process with a reliable publisher of depth 5, as drivers have it; the
subscriber one that counts, with depth 10. PYTHON is one with the package cyclonedds.
"""

import argparse
import array
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cyclone_camera import TOPIC, send

HUNG = -1
PROFILE = Path(__file__).resolve().parents[1] / "config" / "fastdds.xml"
Process = subprocess.Popen[bytes]
VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
RELIABILITIES = ("best_effort", "reliable")
SIZES = ("640x480", "1280x720", "1920x1080")


@dataclass(frozen=True)
class Situation:
    """Where a camera and a subscriber are."""

    name: str
    profile: bool
    #: Megabytes of /dev/shm.
    memory: int = 1024
    #: Processes with a participant that only take their shared memory.
    bystanders: int = 0
    #: Whether the camera is behind a cable of 1 Gbit/s.
    networked: bool = False
    cyclone: bool = False


SITUATIONS = [
    Situation("same host, no profile", False),
    Situation("same host", True),
    Situation("container, 3 processes", True, 64, 1),
    Situation("container, 5 processes", True, 64, 3),
    Situation("network, no profile", False, networked=True),
    Situation("network", True, networked=True),
    Situation("network, Cyclone DDS camera, no profile", False, networked=True, cyclone=True),
    Situation("network, Cyclone DDS camera", True, networked=True, cyclone=True),
]


def camera(size: str, rate: float, frames: int) -> None:
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("camera")
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
    publisher = node.create_publisher(Image, TOPIC, qos)
    width, height = map(int, size.split("x"))
    data = array.array("B", bytes(3 * width * height))
    image = Image(height=height, width=width, encoding="bgr8", step=3 * width, data=data)
    send(publisher.get_subscription_count, lambda: publisher.publish(image), rate, frames)
    node.destroy_node()
    rclpy.shutdown()


def bystander() -> None:
    import rclpy

    rclpy.init()
    rclpy.create_node(f"bystander{os.getpid()}")
    print("ready", flush=True)
    sys.stdin.read()


def subscriber(reliability: str, camera_process: Process) -> int:
    """The number of frames that arrive until the camera ends."""
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    rclpy.init()
    node, heights = rclpy.create_node("subscriber"), array.array("I")
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability.upper()])
    node.create_subscription(Image, TOPIC, lambda image: heights.append(image.height), qos)
    while camera_process.poll() is None:
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.shutdown()
    return len(heights)


def inside(situation: Situation, arguments: argparse.Namespace) -> None:
    """One run, in namespaces of its own; prints the number of frames that arrived."""
    link = "ip link set {0} up; ip addr add 10.9.0.{1}/24 dev {0}; "
    slow = "tc qdisc add dev {0} root tbf rate 1gbit burst 256kb latency 100ms; "
    _shell(f"mount -t tmpfs -o size={situation.memory}m tmpfs /dev/shm; ip link set lo up")
    _shell("ip link add wire type veth peer name cable; " + link.format("wire", 1))
    me = [sys.executable, __file__]
    program = [*me, "camera"]
    idle = [_start([*me, "bystander"]) for _ in range(situation.bystanders)]
    for process in idle:
        _heard_from(process)
    if situation.cyclone:
        program = [arguments.cyclone, str(Path(__file__).with_name("cyclone_camera.py"))]
    command = [*program, arguments.size, str(arguments.rate), str(arguments.frames)]
    if situation.networked:
        plug = f"ip link set lo up; {link.format('cable', 2)} {slow.format('cable')}"
        shell = ["sh", "-c", f'echo; read go; {plug} echo; exec "$@"', "-"]
        camera_process = _start(["unshare", "-n", *shell, *command])
        _heard_from(camera_process)  # it has a network of its own now
        _shell(f"ip link set cable netns {camera_process.pid}")
        assert camera_process.stdin is not None
        camera_process.stdin.close()
        _heard_from(camera_process)
    else:
        _shell("ip link set cable up")
        camera_process = _start(command)
    # Fast DDS may hang in a reader: see docs/transport.md.
    signal.alarm(30 + int(3 * arguments.frames / arguments.rate))
    print(subscriber(arguments.reliability, camera_process))
    for process in idle:
        process.communicate()


def _start(command: list[str]) -> Process:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _heard_from(process: Process) -> None:
    assert process.stdout is not None
    process.stdout.readline()


def _shell(command: str) -> None:
    subprocess.run(["sh", "-ec", command], check=True)


def measure(situation: Situation, arguments: argparse.Namespace, **values: str) -> int:
    """The median of some runs, each in a process of its own; HUNG for those that never end."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"ROS_DOMAIN_ID": "0", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    if situation.profile:
        environment |= dict.fromkeys(VARIABLES, str(PROFILE))
    texts = json.dumps(vars(situation)), json.dumps({**vars(arguments), **values})
    command = ["unshare", "-rnm", sys.executable, __file__, "inside", *texts]
    counts = []
    for _ in range(arguments.repeat):
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE)
        if run.returncode != -signal.SIGALRM:
            run.check_returncode()
        counts.append(int(run.stdout.splitlines()[-1]) if run.stdout else HUNG)
    print(situation.name, values, counts, file=sys.stderr)
    return int(statistics.median(counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cyclone", help="a Python with the package cyclonedds")
    parser.add_argument("--only", default="", help="situations whose name has this text")
    parser.add_argument("--size", nargs="+", default=SIZES, help="width x height, as 1280x720")
    parser.add_argument("--reliability", nargs="+", default=RELIABILITIES, choices=RELIABILITIES)
    parser.add_argument("--rate", type=float, default=15.0, help="frames a second")
    parser.add_argument("--frames", type=int, default=100, help="frames of a run")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the median counts")
    arguments = parser.parse_args()
    columns = list(itertools.product(arguments.size, arguments.reliability))
    titles = [f"{size} {reliability}" for size, reliability in columns]
    print("|", " | ".join(["situation", *titles]), "|")
    print("|---" * (1 + len(titles)) + "|")
    for situation in SITUATIONS:
        if arguments.only in situation.name and (arguments.cyclone or not situation.cyclone):
            cells = [
                str(measure(situation, arguments, size=size, reliability=reliability))
                for size, reliability in columns
            ]
            print("|", " | ".join([situation.name, *cells]), "|", flush=True)


if __name__ == "__main__":
    role, *values = sys.argv[1:] or [""]
    if role == "camera":
        camera(values[0], float(values[1]), int(values[2]))
    elif role == "bystander":
        bystander()
    elif role == "inside":
        inside(Situation(**json.loads(values[0])), argparse.Namespace(**json.loads(values[1])))
    else:
        main()
