"""Names of topics."""

from __future__ import annotations

from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.validate_full_topic_name import validate_full_topic_name

from regseg_core.errors import ArgumentError


def beside(topic: str, name: str) -> str:
    """The topic of that name beside another one, relative where that one is."""
    return "/".join([*topic.split("/")[:-1], name])


def refuse_wrong(node: Node, topic: str) -> None:
    """Raises ArgumentError for a topic that has no name in ROS."""
    try:
        full = expand_topic_name(topic, node.get_name(), node.get_namespace())
        validate_full_topic_name(full)
    except (ValueError, InvalidTopicNameException) as error:
        reason = str(error).splitlines()[0].partition(": ")[2].partition(", at ")[0].rstrip(":")
        raise ArgumentError(f"{topic!r} is no topic: {reason}") from None
