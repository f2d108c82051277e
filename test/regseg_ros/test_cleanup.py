"""What cleanup frees, seen in this process, where objects can be asked whether they are alive."""

from __future__ import annotations

import gc
import os

import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rig import claim_domain

from regseg_core import Segmenter
from regseg_ros.demo import private_environment
from regseg_ros.segmenter import SegmenterNode

pytestmark = pytest.mark.integration


def alive() -> int:
    gc.collect()
    return sum(isinstance(thing, Segmenter) for thing in gc.get_objects())


def test_cleanup_lets_go_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, claim = claim_domain()
    for name, value in {**private_environment(), "ROS_DOMAIN_ID": str(domain)}.items():
        monkeypatch.setitem(os.environ, name, value)
    before = alive()
    rclpy.init(args=["--ros-args", "-p", "backend:=eager"], domain_id=domain)
    node = SegmenterNode()
    try:
        for _ in range(2):
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
            assert alive() == before + 1
            assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
            assert alive() == before
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    finally:
        node.destroy_node()
        rclpy.shutdown()
        # Its lifecycle services go with its last reference: nobody else may have the domain before.
        del node
        gc.collect()
        claim.close()
    assert alive() == before, "also where the node is destroyed without cleanup"
