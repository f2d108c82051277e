"""The segmenting nodes that run: their state and what they say of themselves."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState
from rclpy.node import Node

from regseg_ros.doctor.verdict import Verdict, fail, ok, warn
from regseg_ros.graph import node_names

#: What a node is called where nobody gives it another name.
_NAME = "regseg"
_SEPARATOR = ": segmentation"
#: What leads on from a state that is not active.
_STEPS = {
    "unconfigured": "ros2 lifecycle set {} configure, and then activate",
    "inactive": "ros2 lifecycle set {} activate",
}
_VERDICTS = {DiagnosticStatus.OK: ok, DiagnosticStatus.WARN: warn}


class Nodes:
    """Hears /diagnostics from now on, and asks the nodes that it finds for their state."""

    def __init__(self, node: Node) -> None:
        self._node = node
        #: The last status of each camera, by its name.
        self._status: dict[str, DiagnosticStatus] = {}
        self._clients: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._status |= {s.name: s for s in message.status if _SEPARATOR in s.name}

    @property
    def names(self) -> set[str]:
        """Of the segmenting nodes, with their namespaces."""
        there = {name for name in node_names(self._node) if name.rpartition("/")[2] == _NAME}
        return there | {name.partition(_SEPARATOR)[0] for name in self._status}

    @property
    def topics(self) -> list[str]:
        """What their cameras publish on."""
        return list(dict.fromkeys(status.hardware_id for status in self._status.values()))

    def ask(self) -> None:
        """Asks each for its state, once; the answers come while the node spins."""
        for name in self.names:
            if name not in self._clients:
                self._clients[name] = self._node.create_client(GetState, f"{name}/get_state")
            if name not in self._asked and self._clients[name].service_is_ready():
                self._asked[name] = self._clients[name].call_async(GetState.Request())

    def verdicts(self) -> list[Verdict]:
        """What there is to say of them."""
        names = node_names(self._node)
        found = []
        for name in sorted(self.names):
            if (count := names.count(name)) > 1:
                text = f"{count} nodes are called {name}: readers get each mask {count} times"
                found.append(fail("node", f"{text}; give each a name (name:=... or __node:=...)"))
            found += self._state(name)
        for name, status in sorted(self._status.items()):
            found.append(_VERDICTS.get(status.level, fail)("node", f"{name}: {status.message}"))
        return found or [ok("node", "none runs: ros2 launch regseg_ros segment.launch.py")]

    def _state(self, name: str) -> list[Verdict]:
        asked = self._asked.get(name)
        if asked is None:
            return []
        if not asked.done():
            return [warn("node", f"{name} does not say its state: it is busy, or was killed")]
        state = asked.result().current_state.label
        if state == "active":
            return [ok("node", f"{name} is active")]
        step = _STEPS.get(state, "wait a moment").format(name)
        return [warn("node", f"{name} is {state}: {step}")]
