"""The SROS 2 policy that comes with the node, held against the node."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from places import ROOT
from rig import Rig

from regseg_core.outputs import OUTPUTS
from regseg_ros.geometry.products import PRODUCTS

NODE = "regseg"


def allowed(kind: str, right: str) -> set[str]:
    """The full names of what the policy allows, such as ("topic", "publish")."""
    policy = ElementTree.parse(ROOT / "config" / "security" / "regseg.policy.xml")
    (profile,) = policy.iter("profile")
    assert (profile.get("ns"), profile.get("node")) == ("/", NODE)
    rules = [rule for rule in profile if rule.get(right) == "ALLOW"]
    names = [str(entry.text) for rule in rules for entry in rule.iter(kind)]
    return {name.replace("~", f"/{NODE}") for name in names}


def test_the_policy_names_every_topic_and_has_no_wildcard() -> None:
    publish = allowed("topic", "publish")
    assert {f"/{NODE}/{name}" for name in (*OUTPUTS, *PRODUCTS)} <= publish
    everything = publish | allowed("topic", "subscribe") | allowed("service", "reply")
    assert all(name.startswith("/") and not set("*?[") & set(name) for name in everything)
    assert allowed("service", "request") == set(), "the node asks nobody for anything"


@pytest.mark.integration
def test_the_policy_allows_what_the_node_does(fresh: Rig) -> None:
    fresh.start()
    fresh.until_said("active:")
    fresh.listen(f"/{NODE}/mask")
    fresh.until_connected()
    node = fresh.node
    for ask, (kind, right) in {
        node.get_publisher_names_and_types_by_node: ("topic", "publish"),
        node.get_subscriber_names_and_types_by_node: ("topic", "subscribe"),
        node.get_service_names_and_types_by_node: ("service", "reply"),
        node.get_client_names_and_types_by_node: ("service", "request"),
    }.items():
        used = {name for name, _ in ask(NODE, "/")}
        assert used <= allowed(kind, right), f"{right}: {used - allowed(kind, right)}"
