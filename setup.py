"""One package, two ways in: `colcon build` (ament_python) and `pip install .`."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "regseg_ros"

BAGS = [
    "rosbags>=0.11,<0.12",
    "mcap>=1.3,<2",
    "apsw>=3.46",
    "lz4>=4.3",
    "zstandard>=0.22",
]


def files(pattern: str) -> list[str]:
    return sorted(str(path) for path in Path().glob(pattern))


setup(
    name=NAME,
    version="0.1.0",
    description="Real-time semantic segmentation in ROS 2 with RegSeg",
    license="Apache-2.0",
    url="https://arxiv.org/abs/2111.09957",
    project_urls={"Paper": "https://arxiv.org/abs/2111.09957"},
    author="The regseg_ros developers",
    maintainer="The regseg_ros developers",
    maintainer_email="regseg_ros@users.noreply.github.com",
    python_requires=">=3.10",
    packages=find_packages(include=["regseg_core*", "regseg_ros*"]),
    package_data={
        "regseg_core": ["py.typed"],
        "regseg_core.zoo": ["*.safetensors", "*.json"],
        "regseg_ros": ["py.typed"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml", "LICENSE", "NOTICE"]),
        (f"share/{NAME}/launch", files("launch/*.launch.py")),
        (f"share/{NAME}/config", files("config/*.*")),
        (f"share/{NAME}/config/security", files("config/security/*.xml")),
        (f"share/{NAME}/config/train", files("config/train/*.yaml")),
    ],
    install_requires=[
        "torch>=2.6,<2.15",
        "numpy>=1.26",
        "opencv-python-headless>=4.9",
        "PyYAML>=6",
        "safetensors>=0.4.3",
        "tqdm>=4.60",
        "av>=12",
        "pillow>=10",
    ],
    extras_require={
        # `colcon test` runs pytest only where an extra of this name asks for it.
        "test": ["pytest>=7", "hypothesis>=6"],
        "openvino": ["openvino>=2025.0"],
        # Measures what int8 needs of one's own weights; running in int8 needs OpenVINO alone.
        "calibrate": ["openvino>=2025.0", "nncf>=2.18"],
        # Torch-TensorRT pins the PyTorch that it fits.
        "torch-tensorrt": ["torch-tensorrt>=2.6,<2.15"],
        "torch-tensorrt-rtx": ["torch-tensorrt-rtx>=2.11,<2.15"],
        # Engines from ONNX, built also without a GPU. A Jetson has TensorRT from JetPack.
        "tensorrt-rtx": ["tensorrt_rtx>=1.4", "onnx>=1.18", "onnxscript>=0.5"],
        # Bags without ROS; those of a fleet.
        "bags": BAGS,
        "fleet": [*BAGS, "ray[data]>=2.40,<3"],
        # Cityscapes' own scorer, which a test holds ours against.
        "cityscapes": ["cityscapesScripts>=2.2"],
        # 2.6.2 and 2.6.3 were malicious releases.
        "train": [
            "lightning>=2.6,!=2.6.2,!=2.6.3",
            "jsonargparse[signatures]>=4.49,<5",
            "tensorboard>=2.14",
            "matplotlib>=3.8",
        ],
    },
    entry_points={
        "console_scripts": [
            "segmenter = regseg_ros.entry:segmenter",
            "video_source = regseg_ros.entry:video_source",
            "recorder = regseg_ros.entry:recorder",
            "ground_recorder = regseg_ros.entry:ground_recorder",
            "doctor = regseg_ros.entry:doctor",
        ],
    },
    zip_safe=False,
)
