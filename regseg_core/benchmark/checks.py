"""Whether backends are right, before it counts how fast they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from regseg_core.arrays import Image
from regseg_core.backends import staging
from regseg_core.backends.choose import candidates
from regseg_core.segmenter import Segmenter

#: Share of pixels that must have float32's label.
AGREEMENT = 0.999

_THREADS = 10


@dataclass(frozen=True)
class Check:
    """One question about one backend, and what was found."""

    backend: str
    question: str
    found: str
    passed: bool


def checks(
    device: torch.device, images: Sequence[Image], frames: int = 1000
) -> Iterator[Callable[[], Check]]:
    """Questions to be asked one by one. `images`: H x W x 3 uint8 RGB, of one size.

    `frames`: how many alternate in size while memory is watched.
    """
    exact = Segmenter(device="cpu", precision="float32", backend="eager", cache=None)
    expected = [exact(image, "rgb8").labels for image in images]
    usable, _ = candidates("auto", device)

    def asked(name: str) -> Iterator[Callable[[], Check]]:
        made: list[Segmenter] = []

        def segment(image: Image) -> Image:
            if not made:
                made.append(Segmenter(device=str(device), backend=name, cache=None))
            return made[0](image, "rgb8").labels

        def agree() -> Check:
            equal = [
                (segment(image) == labels).mean()
                for image, labels in zip(images, expected, strict=True)
            ]
            share = float(np.mean(equal))
            found = f"{100 * share:.3f} % of the pixels of {len(images)} images"
            return Check(name, "has float32's labels", found, share >= AGREEMENT)

        def own() -> Check:
            alone = [segment(image) for image in images[:_THREADS]]

            def works(place: int) -> int:
                place %= len(alone)
                again = (segment(images[place]) for _ in range(20))
                return sum(not np.array_equal(labels, alone[place]) for labels in again)

            with ThreadPoolExecutor(_THREADS) as threads:
                wrong = sum(threads.map(works, range(_THREADS)))
            found = f"{wrong} of {20 * _THREADS} differ"
            return Check(name, f"gives {_THREADS} threads their own labels", found, wrong == 0)

        def flat() -> Check:
            sizes = [image[:h, :w] for image in images[:1] for h, w in _cuts(image)]
            for image in sizes * 10:
                segment(image)
            before = _memory(device)
            for turn in range(frames):
                segment(sizes[turn % len(sizes)])
            grown = (_memory(device) - before) / 1e6
            found = f"grows by {grown:.1f} MB in {frames} frames of {len(sizes)} sizes"
            return Check(name, "keeps its memory", found, grown < 20)

        def unrecorded() -> Check:
            recorded = [segment(image) for image in images[:4]]
            with staging.nothing_recorded():
                plain = Segmenter(device=str(device), backend=name, cache=None)
                found = [plain(image, "rgb8").labels for image in images[:4]]
            share = float(np.mean([np.mean(a == b) for a, b in zip(recorded, found, strict=True)]))
            text = f"{100 * share:.3f} % of the pixels"
            return Check(name, "has these labels without CUDA graphs too", text, share > AGREEMENT)

        yield agree
        yield own
        if device.type == "cuda":
            yield unrecorded
        yield flat

    for backend in usable:
        yield from asked(backend.name)


def _cuts(image: Image) -> list[tuple[int, int]]:
    height, width = image.shape[:2]
    return [(height, width), (height // 2, width), (height, width // 2)]


def _memory(device: torch.device) -> float:
    """Bytes that this process holds: of the GPU's memory, or of the host's."""
    if device.type == "cuda":
        return float(torch.cuda.memory_reserved(device))
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
