"""RegSeg as a ROS 2 node: camera topics in, label and colour-mask topics out."""
