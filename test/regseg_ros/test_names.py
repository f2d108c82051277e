"""Names of topics: what lies beside a camera, and what is no name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from regseg_core.errors import ArgumentError
from regseg_ros.names import beside, refuse_wrong

NODE: Any = SimpleNamespace(get_name=lambda: "regseg", get_namespace=lambda: "/robot1")


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/camera/image_raw", "/camera/camera_info"),
        ("/image_raw", "/camera_info"),
        ("image_raw", "camera_info"),
        ("front/image_raw", "front/camera_info"),
        ("~/image_raw", "~/camera_info"),
    ],
)
def test_what_lies_beside_a_relative_topic_is_relative_too(topic: str, expected: str) -> None:
    assert beside(topic, "camera_info") == expected


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("/depth topic", "must not contain characters other than alphanumerics"),
        ("/front//depth", "must not contain repeated '/'"),
        ("/depth/", "must not end with a forward slash"),
        ("{depth}", "unknown substitution"),
    ],
)
def test_what_is_no_topic_is_refused_in_one_line(topic: str, reason: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        refuse_wrong(NODE, topic)
    text = str(refused.value)
    assert topic in text and reason in text and "\n" not in text and ".c:" not in text


@pytest.mark.parametrize("topic", ["/depth", "depth/image_raw", "~/depth"])
def test_what_is_a_topic_passes(topic: str) -> None:
    refuse_wrong(NODE, topic)
