"""From labels to places: cameras, depth, lidars and the ground; NumPy alone, no ROS."""
