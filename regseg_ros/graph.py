"""What a node knows of the others. Discovery takes a moment: a new node sees nobody at first."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from regseg_ros.why import COMPRESSED, IMAGE, Offer


def image_topics(node: Node) -> dict[str, str]:
    """Topics of images that other nodes publish, and their types."""
    own = node.get_fully_qualified_name()
    return {
        topic: kind
        for topic, kinds in node.get_topic_names_and_types()
        for kind in kinds
        if kind in (IMAGE, COMPRESSED)
        and any(offer.type == kind and offer.node != own for offer in offers(node, topic))
    }


def offers(node: Node, topic: str, asked: QoSProfile | None = None) -> list[Offer]:
    """The publishers on a topic, held against the QoS that is asked for."""
    return [
        Offer(
            _name(found),
            found.topic_type,
            "" if asked is None else _conflict(found.qos_profile, asked),
        )
        for found in node.get_publishers_info_by_topic(topic)
    ]


def conflicts(node: Node, topic: str) -> list[str]:
    """Which of a topic's readers cannot hear which of its publishers, and why."""
    readers = node.get_subscriptions_info_by_topic(topic)
    return [
        f"{_name(reader)} does not hear {offer.node} ({offer.conflict})"
        for reader in readers
        for offer in offers(node, topic, reader.qos_profile)
        if offer.type == reader.topic_type and offer.conflict
    ]


def node_names(node: Node) -> list[str]:
    """All nodes' names with their namespaces, each as often as it is there."""
    return [_joined(where, name) for name, where in node.get_node_names_and_namespaces()]


def namesakes(node: Node) -> int:
    """How many other nodes have this one's name and namespace."""
    return max(node_names(node).count(node.get_fully_qualified_name()) - 1, 0)


def _conflict(offered: QoSProfile, asked: QoSProfile) -> str:
    level, reason = qos_check_compatible(offered, asked)
    if level != QoSCompatibility.ERROR:
        return ""
    return str(reason).replace("ERROR:", "").strip(" ;").lower()


def _name(endpoint: TopicEndpointInfo) -> str:
    return _joined(endpoint.node_namespace, endpoint.node_name)


def _joined(namespace: str, name: str) -> str:
    return f"{namespace.rstrip('/')}/{name}"
