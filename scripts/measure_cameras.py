"""One node for four cameras against four nodes: memory, masks, latency and processor time.

PYTHONPATH=.:test/support .venv/bin/python scripts/measure_cameras.py [--rounds 3] [--seconds 20]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rig import Rig, image, rig

from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.device import device_title

CAMERAS = ("front", "rear", "left", "right")
#: Seconds in which engines are read from the cache; a first round, which does not count, compiles.
SETTLE = 20.0
COMPILING = 60.0


@dataclass(frozen=True)
class Figures:
    """Of one arrangement of nodes."""

    resident: float
    proportional: float
    masks: float
    latency: float
    cores: float


def memory(pid: int) -> tuple[float, float]:
    """Resident and proportional MiB of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {line.split()[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
    return sizes["Rss:"], sizes["Pss:"]


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def play(node: Rig, seconds: float, rate: float, heard: dict[str, list[Any]]) -> list[float]:
    """Sends frames of all cameras, one after the other; returns each mask's latency in ms."""
    street = SyntheticStreet(320, 240)
    frames = [image(street.frame(i / 5)[0], "rgb8") for i in range(20)]
    sent: dict[tuple[str, int], float] = {}
    latencies: list[float] = []
    started, turn = time.monotonic(), 0
    step = 1 / rate / len(CAMERAS)
    while time.monotonic() - started < seconds:
        name = CAMERAS[turn % len(CAMERAS)]
        node.send(frames[turn // len(CAMERAS) % len(frames)], f"/{name}/image_raw")
        sent[name, node.stamp] = time.monotonic()
        turn += 1
        while (left := started + turn * step - time.monotonic()) > 0:
            node.executor.spin_once(timeout_sec=left)
            for camera, messages in heard.items():
                while messages:
                    when = sent.get((camera, messages.pop().header.stamp.sec))
                    if when is not None:  # else it is of the frames before
                        latencies.append((time.monotonic() - when) * 1000)
    return latencies


def measure(many: bool, cache: Path, settle: float, options: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory() as folder, rig(Path(folder)) as node:
        node.environment["XDG_CACHE_HOME"] = str(cache)
        commands = (
            [["-r", f"__ns:=/{name}", "-p", f"image_topic:=/{name}/image_raw"] for name in CAMERAS]
            if many
            else [["-p", f"cameras:=[{', '.join(CAMERAS)}]"]]
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "regseg_ros.segmenter", "--ros-args", *command],
                env=node.environment,
                stderr=subprocess.DEVNULL,
            )
            for command in commands
        ]
        try:
            path = "/{}/regseg/mask" if many else "/regseg/{}/mask"
            heard = {name: node.listen(path.format(name)) for name in CAMERAS}
            for name in CAMERAS:
                node.until_connected(f"/{name}/image_raw")
            play(node, settle, options.rate, heard)
            before = sum(processor(p.pid) for p in processes)
            latencies = play(node, options.seconds, options.rate, heard)
            used = sum(processor(p.pid) for p in processes) - before
            sizes = [memory(p.pid) for p in processes]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
    resident, proportional = map(sum, zip(*sizes, strict=True))
    return Figures(
        resident,
        proportional,
        len(latencies) / options.seconds,
        statistics.median(latencies),
        used / options.seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=15.0)
    options = parser.parse_args()
    found: dict[bool, list[Figures]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(options.rounds + 1):
            for many in (False, True):
                settle = SETTLE if number else COMPILING
                figures = measure(many, Path(cache), settle, options)
                if number:
                    found[many].append(figures)
    print(f"{len(CAMERAS)} cameras, 320 x 240, {options.rate:g} Hz, medians of {options.rounds};")
    print(device_title(torch.device("cpu")))
    print("             resident MiB   proportional MiB   masks/s   p50 ms   cores")
    for many, title in ((False, "one node"), (True, "four nodes")):
        row = [
            statistics.median(getattr(figures, name) for figures in found[many])
            for name in ("resident", "proportional", "masks", "latency", "cores")
        ]
        print(f"{title:12} {row[0]:13.0f} {row[1]:18.0f} {row[2]:9.1f} {row[3]:8.1f} {row[4]:7.2f}")


if __name__ == "__main__":
    main()
