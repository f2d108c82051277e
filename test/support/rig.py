"""A node in a process of its own, and this process as its camera and its audience."""

from __future__ import annotations

import array
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from regseg_core.encodings import ENCODINGS
from regseg_ros.demo import private_environment

#: Seconds that anything here may take on a busy machine.
PATIENCE = 60.0

#: Where the node hears its camera by default.
TOPIC = "/camera/image_raw"


def image(pixels: npt.NDArray[np.uint8], encoding: str, padding: int = 0) -> Image:
    """H x W (x C) uint8 -> a message whose rows end with `padding` bytes of noise."""
    rows = pixels.reshape(pixels.shape[0], -1)
    noise = np.full((rows.shape[0], padding), 113, np.uint8)
    data = np.concatenate([rows, noise], axis=1)
    known = ENCODINGS.get(encoding)
    height, width = (known and known.size(pixels.shape)) or pixels.shape[:2]
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=data.shape[1],
        data=array.array("B", data.tobytes()),
    )


def pixels(message: Image) -> npt.NDArray[np.uint8]:
    """The pixels of an unpadded rgb8 or mono8 message."""
    shape = (message.height, message.width, 3)[: 3 if message.encoding == "rgb8" else 2]
    return np.frombuffer(message.data, np.uint8).reshape(shape)


#: Below those that `private_environment` chooses from.
_DOMAINS = range(1, 10)
_turns = itertools.count(os.getpid())


def claim_domain() -> tuple[int, socket.socket]:
    """A DDS domain that no other rig on this machine has, as long as the socket is open."""
    for turn in itertools.islice(_turns, len(_DOMAINS)):
        domain = _DOMAINS[turn % len(_DOMAINS)]
        claim = socket.socket(socket.AF_UNIX)
        try:
            # A name without a file: it is free again when this process ends, however it does.
            claim.bind(f"\0regseg_ros rig {domain}")
        except OSError:
            claim.close()
        else:
            return domain, claim
    raise RuntimeError(f"all {len(_DOMAINS)} DDS domains for tests are taken")


class Rig:
    """Spins a node of this process; publishes camera frames and keeps what comes back."""

    def __init__(self, log: Path) -> None:
        # A domain for each rig: nodes of two must not hear each other.
        domain, self._domain = claim_domain()
        self.environment = {
            **private_environment(),
            "ROS_DOMAIN_ID": str(domain),
            "PYTHONFAULTHANDLER": "1",
        }
        os.environ.update(self.environment)
        self.log = log
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("audience", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._publishers: dict[str, Any] = {}
        self.camera = self.publisher(TOPIC)
        self.stamp = 0
        self._heard: list[Any] = []
        #: What was heard, a list a topic.
        self.heard: list[list[Any]] = []
        self._clients: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        *arguments: str,
        module: str = "segmenter",
        program: list[str] | None = None,
        folder: Path | None = None,
        ros_arguments: bool = True,
    ) -> None:
        """Starts a module of this checkout, or a program in a folder.

        The node computes what PyTorch does, so that it can be compared, unless told otherwise.
        """
        if module == "segmenter" and not any("backend:=" in entry for entry in arguments):
            arguments = (*arguments, "-p", "backend:=eager")
        command = program or [sys.executable, "-m", f"regseg_ros.{module}"]
        if ros_arguments:
            command = [*command, "--ros-args", *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=self.environment, stdout=log, stderr=log
            )

    def stop(self, signal_number: int = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(signal_number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            # Killed, it would leave its shared memory behind.
            self.stop()
        self.node.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)
        self._domain.close()

    def listen(self, topic: str, kind: Any = Image) -> list[Any]:
        """The messages of a topic, from now on."""
        messages: list[Any] = []
        qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
        self._heard.append(self.node.create_subscription(kind, topic, messages.append, qos))
        self.heard.append(messages)
        return messages

    def forget(self) -> None:
        """Ends all listening."""
        while self._heard:
            self.node.destroy_subscription(self._heard.pop())
        self.heard.clear()

    def publisher(self, topic: str, kind: Any = Image) -> Any:
        """A camera's publisher, made when it is first asked for."""
        if topic not in self._publishers:
            reliable = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
            self._publishers[topic] = self.node.create_publisher(kind, topic, reliable)
        return self._publishers[topic]

    def forget_publisher(self, topic: str) -> None:
        """The camera's driver ends."""
        self.node.destroy_publisher(self._publishers.pop(topic))

    def send(self, message: Any, topic: str = TOPIC) -> Any:
        """Publishes a frame under a header of its own."""
        self.stamp += 1
        message.header = Header(frame_id=f"lens{self.stamp}")
        message.header.stamp.sec = self.stamp
        self.publisher(topic, type(message)).publish(message)
        return message

    def send_until(self, message: Any, ready: Callable[[], Any], topic: str = TOPIC) -> Any:
        """Publishes a frame, again and again under the same header, until `ready`.

        The camera is heard at best effort, and perhaps only from now on: a frame may be lost.
        """
        self.send(message, topic)
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, self.stuck()
            self.until(ready, seconds=1.0, strict=False)
            if not ready():
                self.publisher(topic).publish(message)
        return message

    def spin(self, seconds: float) -> None:
        self.until(lambda: False, seconds, strict=False)

    def until(
        self, ready: Callable[[], Any], seconds: float = PATIENCE, strict: bool = True
    ) -> None:
        """Spins until `ready`; raises AssertionError with the node's log where it never is."""
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                assert not strict, self.stuck()
                return
            self.executor.spin_once(timeout_sec=0.02)

    def said(self) -> str:
        return self.log.read_text()

    def stuck(self) -> str:
        """Ends a node that has been waited for in vain; says what it said and where it stood."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGABRT)  # prints every thread's stack
            self.process.wait(PATIENCE)
        return f"timed out; the node said:\n{self.said()}"

    def until_said(self, text: str, times: int = 1) -> None:
        self.until(lambda: self.said().count(text) >= times)

    def until_connected(self, topic: str = TOPIC) -> None:
        """Both ways: the node hears the camera, and we hear the node."""
        self.until(lambda: self.publisher(topic).get_subscription_count() > 0)
        self.meet()

    def meet(self) -> None:
        """Waits until every node that we see has seen what we publish, hear and ask by now.

        Only they know: a request to a node that has not is lost, silently and for good
        (rmw_fastrtps#392). But what we have is told to each node in the order in which we made it,
        so who answers a client that was made last has seen everything.
        """
        for name, _ in self.node.get_service_names_and_types():
            if name.endswith("/get_parameters") and not name.startswith("/audience/"):
                client = self.node.create_client(GetParameters, name)
                self.until(partial(self._answers, client))
                self.node.destroy_client(client)

    def _answers(self, client: Any) -> bool:
        """Whether a service answers soon, or has gone."""
        if not client.service_is_ready():
            return not self.node.count_services(client.srv_name)
        future = client.call_async(GetParameters.Request())
        self.until(future.done, 1.0, strict=False)
        return bool(future.done())

    def client(self, kind: Any, service: str) -> Any:
        """For a service that answers."""
        if service not in self._clients:
            client = self._clients[service] = self.node.create_client(kind, service)
            self.until(client.service_is_ready)
            self.meet()
        return self._clients[service]

    def call(self, kind: Any, service: str, request: Any) -> Any:
        """What a service answers."""
        future = self.client(kind, service).call_async(request)
        self.until(future.done)
        return future.result()


def status(rig_: Rig, camera: str = "") -> dict[str, Any]:
    """The node's next diagnostic status of a camera."""
    arrays = rig_.listen("/diagnostics", DiagnosticArray)
    rig_.until(lambda: arrays)
    (found,) = (s for s in arrays[-1].status if s.name.partition(" of ")[2] == camera)
    return {
        **{v.key: v.value for v in found.values},
        "message": found.message,
        "level": found.level,
    }


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    made = Rig(folder / "node.log")
    try:
        yield made
    finally:
        made.close()
