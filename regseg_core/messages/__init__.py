"""Images as ROS sends and records them -> frames; any object with the fields of the message."""
