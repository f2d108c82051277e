"""The whole node, measured: a camera, the node and a sink as processes of their own over DDS."""
