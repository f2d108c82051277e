"""`make demo`: a camera, the node and a recorder as three processes over DDS, on this machine."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from regseg_core import zoo
from regseg_core.cli import Parser
from regseg_core.data.synthetic import STREET
from regseg_core.data.synthetic.painter import CAMERA_HEIGHT
from regseg_core.files import FileError
from regseg_ros.settings import SourceSettings
from regseg_ros.video_source import open_source

#: Frames of the street, which has no end.
STREET_FRAMES = 150
#: Seconds that a source is played at the most.
LONGEST = 60
#: Seconds that the node may compile for this machine before the source is played.
READY_WITHIN = 60
#: Seconds for all but the writing at the end; the demo then ends whatever happened.
TIME_LIMIT = 90 + READY_WITHIN

ROOT = Path(__file__).resolve().parents[1]


class DemoError(RuntimeError):
    """Why the demo came to nothing."""


def private_environment() -> dict[str, str]:
    """This environment, with DDS on this machine only, in a domain of its own, sized for images."""
    profile = str(ROOT / "config" / "fastdds.xml")
    if os.environ.get("ROS_DISTRO") == "humble":
        local = {"ROS_LOCALHOST_ONLY": "1"}
    else:
        local = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    return {
        **os.environ,
        **local,
        # Below 102 the ports of a domain stay clear of the system's ephemeral ones.
        "ROS_DOMAIN_ID": str(10 + os.getpid() % 90),
        "FASTRTPS_DEFAULT_PROFILES_FILE": profile,
        "FASTDDS_DEFAULT_PROFILES_FILE": profile,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }


def ros_arguments(parameters: Mapping[str, object]) -> list[str]:
    """Of a node that has these parameters.

    Their values are YAML, of which JSON is a part: a path may hold any character.
    """
    given = [("-p", f"{name}:={json.dumps(value)}") for name, value in parameters.items()]
    return ["--ros-args", *(part for pair in given for part in pair)]


@dataclass(frozen=True)
class Mount:
    """The camera of `--ground`: metres above the ground, radians downwards, pixels; its groups."""

    height: float
    pitch: float
    focal: float
    groups: str

    def parameters(self) -> dict[str, object]:
        """Of the node. At 480 x 360 a pixel covers 0.37 m of the street at 15 m."""
        return {
            "camera_height": self.height,
            "camera_pitch": self.pitch,
            "groups": self.groups,
            "ground_range": 15.0,
            "grid_cell": 0.4,
        }


class Child:
    """One node in a process of its own; ends at the latest when its context is left."""

    def __init__(self, module: str, environment: dict[str, str], **values: object) -> None:
        command = [sys.executable, "-m", f"regseg_ros.{module}", *ros_arguments(values)]
        self.module = module
        # Not for Ctrl-C, which means the demo; of one session, since the scheduler shares the cores
        # between sessions and knows of priorities only within one.
        self.process = subprocess.Popen(command, env=environment, preexec_fn=os.setpgrp)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Interrupts the node as Ctrl-C does, and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def wait(self, others: list[Child], deadline: float) -> None:
        """Waits for its end. Raises DemoError if another ends first, or at the deadline."""
        while self.process.poll() is None:
            for other in others:
                if (status := other.process.poll()) is not None:
                    raise DemoError(f"{other.module} ended early, with status {status}; see above")
            if time.monotonic() > deadline:
                raise DemoError(f"{self.module} took longer than {TIME_LIMIT} s in all")
            time.sleep(0.1)
        if self.process.returncode:
            raise DemoError(f"{self.module} failed; see above")


def frames_of(source: str) -> str:
    """What the node is to be ready for; empty where only a camera device knows.

    Raises MediaError for a source that is not there.
    """
    settings = SourceSettings()
    height, width = settings.height, settings.width
    if source.isdecimal():
        return ""
    if source != STREET:
        height, width = next(open_source(source, 1.0, (width, height), False)).shape[:2]
    return f"{height}x{width} {settings.encoding}"


def run(
    source: str, weights: str, rate: float, out: Path, mount: Mount | None = None
) -> dict[str, float | int | None]:
    """Plays `source` through the node; returns what was sent and received. Raises DemoError.

    With `mount` a picture of the ground is made as well.
    """
    frames = frames_of(source)
    environment = private_environment()
    deadline = time.monotonic() + TIME_LIMIT
    sent_file, received_file = out / "sent.json", out / "demo.json"
    for old in (sent_file, received_file, out / "demo.mp4", out / "demo.png", out / "ground.png"):
        old.unlink(missing_ok=True)
    print(f"1/3  starting node and recorder; source {source} at {rate:g} Hz", flush=True)
    with ExitStack() as stack:
        on_ground = mount.parameters() if mount else {}
        node = stack.enter_context(
            Child("segmenter", environment, weights=weights, warm_up=frames, **on_ground)
        )
        given = {"out": str(out), "rate": rate, "ready_within": float(READY_WITHIN)}
        recorders = [stack.enter_context(Child("recorder", environment, **given))]
        if mount:
            child = Child("ground_recorder", environment, out=str(out))
            recorders.append(stack.enter_context(child))
        camera = stack.enter_context(
            Child(
                "video_source",
                environment,
                source=source,
                rate=rate,
                frames=STREET_FRAMES if source == STREET else round(LONGEST * rate),
                # Drawing the street takes most of a core; a camera takes none.
                ahead=STREET_FRAMES if source == STREET else 0,
                focal=mount.focal if mount else 0.0,
                wait_for_subscribers=1 + len(recorders),
                report=str(sent_file),
            )
        )
        camera.wait([node, *recorders], deadline)
        print("2/3  sent; waiting for the last mask", flush=True)
        time.sleep(1.5)
        print("3/3  writing video and image", flush=True)
        for recorder in recorders:
            if recorder.stop():
                raise DemoError(f"{recorder.module} failed; see above")
    sent = json.loads(sent_file.read_text())["sent"]
    return {"sent": sent, **json.loads(received_file.read_text())}


def table(figures: dict[str, float | int | None]) -> str:
    rows = {
        "frames sent": figures["sent"],
        "masks received": figures["masks"],
        "dropped": int(figures["sent"] or 0) - int(figures["masks"] or 0),
        "latency p50 (ms)": figures.get("latency_p50_ms"),
        "latency p95 (ms)": figures.get("latency_p95_ms"),
        "frames per second": figures.get("masks_per_second"),
    }
    return "\n".join(
        f"{name:20}{'-' if value is None else value:>10}" for name, value in rows.items()
    )


def mount(options: argparse.Namespace) -> Mount | None:
    """The camera that the options tell; the synthetic street's is known. Raises DemoError."""
    if not options.ground:
        return None
    height, focal = options.camera_height, options.focal
    if options.source == STREET:
        height, focal = height or CAMERA_HEIGHT, focal or 0.0
    if height is None or focal is None:
        raise DemoError(
            f"nothing is known of the camera of {options.source}: give --camera-height and --focal"
        )
    return Mount(height, options.camera_pitch, focal, options.groups)


def main(arguments: list[str] | None = None) -> None:
    parser = Parser(prog="python -m regseg_ros.demo", description=__doc__)
    parser.add_argument("source", nargs="?", default=STREET, help="folder, video, or 'street'")
    parser.add_argument(
        "--weights", default=zoo.DEFAULT, help="a file with a card, or shipped weights by name"
    )
    parser.add_argument("--rate", type=float, default=15.0, help="frames a second")
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder for demo.mp4 and demo.png"
    )
    ground = parser.add_argument_group("the ground")
    ground.add_argument("--ground", action="store_true", help="draw it, too: ground.png")
    ground.add_argument("--camera-height", type=float, metavar="M", help="above the ground")
    ground.add_argument("--camera-pitch", type=float, default=0.0, metavar="RAD", help="downwards")
    ground.add_argument("--focal", type=float, metavar="PIXELS", help="focal length")
    ground.add_argument(
        "--groups",
        default=str(ROOT / "config" / "groups.yaml"),
        help="what classes mean: cityscapes, camvid, autoware or a YAML file",
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        figures = run(
            *(options.source, options.weights, options.rate, options.out.resolve()), mount(options)
        )
    except (DemoError, FileError) as error:
        sys.exit(f"demo failed: {error}")
    except KeyboardInterrupt:
        sys.exit("demo interrupted: the film and the pictures are not complete")
    print(f"\n{table(figures)}\n")
    if not figures["masks"]:
        sys.exit(
            f"demo failed: {figures['sent']} frames were sent and no mask came back; the node's"
            " warnings above say what it refused"
        )
    written = [options.out / name for name in ("demo.mp4", "demo.png")]
    written += [options.out / "ground.png"] * options.ground
    print(f"wrote {', '.join(map(str, written))}")


if __name__ == "__main__":
    main()
