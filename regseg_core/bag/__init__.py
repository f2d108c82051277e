"""Recorded drives: ROS 2 bags, without ROS."""
