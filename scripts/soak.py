"""`make soak`: two cameras and faults of every kind for minutes; the node must stay as it was.

Prints a table and writes soak/soak.png. Ends with status 1 where memory grows, threads or file
handles do, or a frame is neither segmented nor counted as anything else.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rig import Rig, image, rig
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from tqdm import tqdm

from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.encodings import ENCODINGS

#: Frames a second of each camera.
RATE = 15.0
#: Share of frames that are wrong in some way.
FAULTS = 0.2
#: Share of the time after which everything has been allocated once.
WARM_UP = 0.3
#: MiB that memory may grow after that.
GROWTH = 20.0

FRONT, REAR = "/front/image_raw", "/rear/image_raw"
ENDS = ("segmented", "dropped", "unwanted", "refused", "failed", "in work")


@dataclass(frozen=True)
class Sample:
    """The node's process at one time."""

    seconds: float
    memory: float
    threads: int
    handles: int


def sample(pid: int, since: float) -> Sample:
    """Memory in MiB that is no file's: what libraries take depends on who else has mapped them."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    anonymous = sum(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))
    return Sample(
        time.monotonic() - since,
        anonymous / 1024,
        len(list(Path(f"/proc/{pid}/task").iterdir())),
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
    )


class Camera:
    """Frames of a street, some of them broken."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        street = SyntheticStreet(160, 120)
        self._pixels = [street.frame(second / 4)[0] for second in range(40)]

    def raw(self) -> Image:
        """An image in some encoding, right or wrong."""
        name = self._chance.choice(("rgb8", "rgb8", "rgb8", "bgr8", "mono8", "nv12", "yuyv"))
        pixels = ENCODINGS[name].from_rgb(self._chance.choice(self._pixels))
        message = image(pixels, name, padding=0 if name == "nv12" else 8)
        if self._chance.random() < FAULTS:
            self._chance.choice(_RAW_FAULTS)(message)
        return message

    def compressed(self) -> CompressedImage:
        """A JPEG or PNG image, right or wrong."""
        kind = self._chance.choice((".jpg", ".png"))
        data = cv2.imencode(kind, self._chance.choice(self._pixels))[1].tobytes()
        if self._chance.random() < FAULTS:
            data = self._chance.choice(_FILE_FAULTS)(data, self._chance)
        return CompressedImage(format="jpeg" if kind == ".jpg" else "png", data=data)


def _field(name: str, value: Any) -> Callable[[Image], None]:
    return lambda message: setattr(message, name, value)


_RAW_FAULTS: tuple[Callable[[Image], None], ...] = (
    _field("height", 0),
    _field("width", 70_000),
    _field("step", 0),
    _field("step", 2**32 - 1),
    _field("encoding", ""),
    _field("encoding", "holo9" * 2000),
    _field("encoding", "16UC1"),
    lambda message: message.data.pop(),
)
_FILE_FAULTS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    lambda data, chance: data[: chance.randrange(len(data))],
    lambda data, chance: chance.randbytes(1000),
    # A PNG that says it has 60,000 x 60,000 pixels.
    lambda data, chance: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\0\xea\x60" * 2 + data[24:],
)


def put(node: Rig, name: str, value: ParameterValue) -> None:
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    node.call(SetParameters, "/regseg/set_parameters", request)


def disturb(node: Rig, turn: int, guests: list[Any], load: bool) -> None:
    """What people do beside: look, change a parameter, and where `load`, load the weights anew."""
    match turn % 4:
        case 0:
            guests += [node.listen(f"/regseg/front/{name}") for name in ("overlay", "confidence")]
        case 1:
            rate = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=10.0)
            put(node, "front.max_rate", rate)
        case 2:
            rate = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.0)
            put(node, "front.max_rate", rate)
        case _:
            node.forget()
            guests.clear()
            if load and turn % 8 == 7:
                node.call(Trigger, "/regseg/load_weights", Trigger.Request())
            for name in ("front", "rear"):
                node.listen(f"/regseg/{name}/mask")


def play(node: Rig, seconds: float, chance: random.Random) -> list[Sample]:
    """Frames, faults and disturbances; the node's process every few seconds."""
    assert node.process is not None
    camera, guests = Camera(chance), []  # type: ignore[var-annotated]
    for name in ("front", "rear"):
        node.listen(f"/regseg/{name}/mask")
    samples: list[Sample] = []
    started = time.monotonic()
    bar = tqdm(total=round(seconds), unit="s", desc="soak")
    frame = 0
    while (passed := time.monotonic() - started) < seconds:
        assert node.process.poll() is None, node.said()[-3000:]
        node.send(camera.raw(), FRONT)
        node.send(camera.compressed(), f"{REAR}/compressed")
        frame += 1
        if frame % round(RATE * 5) == 0:
            samples.append(sample(node.process.pid, started))
            bar.update(round(passed) - bar.n)
            for messages in node.heard:
                messages.clear()
        if frame % round(RATE * 10) == 0:
            # Each load leaves up to 40 MB more or less: other networks lie elsewhere in memory.
            load = passed < WARM_UP * seconds
            disturb(node, frame // round(RATE * 10), guests, load)
        node.spin(max(frame / RATE - (time.monotonic() - started), 0.001))
    bar.close()
    return samples


def counts(node: Rig) -> dict[str, dict[str, int]]:
    """By camera, once nothing is in work any more."""
    node.spin(3.0)
    node.forget()
    arrays = node.listen("/diagnostics", DiagnosticArray)
    node.until(lambda: len(arrays) > 1)
    return {
        status.name.rpartition(" ")[2]: {
            value.key: int(value.value)
            for value in status.values
            if value.key in ("received", *ENDS)
        }
        for status in arrays[-1].status
    }


def judge(samples: list[Sample], found: dict[str, dict[str, int]]) -> list[str]:
    """What is wrong."""
    wrong = []
    steady = [s for s in samples if s.seconds >= WARM_UP * samples[-1].seconds]
    third = len(steady) // 3
    first, last = steady[:third], steady[-third:]
    for name, limit in (("memory", GROWTH), ("threads", 2), ("handles", 2)):
        before, after = (np.median([getattr(s, name) for s in part]) for part in (first, last))
        print(f"{name:8} {before:9.1f} -> {after:9.1f}   {after - before:+.1f} (limit {limit:g})")
        if after - before > limit:
            wrong.append(f"{name} grew by {after - before:.1f}")
    for camera, values in found.items():
        total = sum(values[name] for name in ENDS)
        ends = " + ".join(f"{values[name]} {name}" for name in ENDS)
        print(f"{camera:8} {values['received']} received = {ends}")
        if total != values["received"] or values["in work"]:
            wrong.append(f"{camera}: {values['received']} received, {total} came to an end")
    return wrong


def draw(samples: list[Sample], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 1, figsize=(9, 7), sharex=True, layout="constrained")
    for axis, name in zip(axes, ("memory", "threads", "handles"), strict=True):
        axis.plot([s.seconds / 60 for s in samples], [getattr(s, name) for s in samples])
        axis.set_ylabel("anonymous MiB" if name == "memory" else name)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("minutes")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("soak"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, rig(Path(folder)) as node:
        node.environment["XDG_CACHE_HOME"] = folder
        node.start(
            *("-p", "cameras:=[front, rear]", "-p", "rear.image_transport:=compressed"),
            *("-p", "backend:=auto"),
        )
        node.until_said("/regseg/rear/mask")
        samples = play(node, options.minutes * 60, random.Random(options.seed))
        found = counts(node)
        status = node.stop()
    draw(samples, options.out / "soak.png")
    wrong = judge(samples, found)
    if status:
        wrong.append(f"it ended with status {status}")
    sys.exit("; ".join(wrong) or 0)


if __name__ == "__main__":
    main()
