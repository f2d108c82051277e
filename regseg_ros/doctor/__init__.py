"""`ros2 run regseg_ros doctor`: what stands between a camera and its masks, asked from outside."""
