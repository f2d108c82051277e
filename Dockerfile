# The node in a container; README, "In a container", shows how to run it.
#   docker build -t regseg_ros .                                on a CPU
#   docker build -t regseg_ros:gpu --build-arg DEVICE=gpu .     on an NVIDIA GPU
ARG DEVICE=cpu

# Ubuntu's PyTorch is built for CPUs; the one that pip finds holds CUDA and is ten times as large.
FROM ros:lyrical-ros-base AS cpu
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip python3-torch \
    && pip install --break-system-packages --no-cache-dir openvino

FROM ros:lyrical-ros-base AS gpu
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip \
    && pip install --break-system-packages --no-cache-dir "torch<2.15" tensorrt_rtx==1.6.1.120 onnx onnxscript

FROM ${DEVICE}
WORKDIR /ws
COPY . src/regseg_ros
RUN . /opt/ros/$ROS_DISTRO/setup.sh \
    && apt-get install -y --no-install-recommends python3-safetensors python3-av \
    && rosdep install -y --from-paths src --ignore-src --skip-keys python3-torch -t build -t exec \
    && colcon build \
    && rm -rf src build log /var/lib/apt/lists/*
# What follows the image's name are launch arguments.
ENTRYPOINT ["/bin/bash", "-c", ". install/setup.bash && exec ros2 launch regseg_ros segment.launch.py \"$@\"", "--"]
