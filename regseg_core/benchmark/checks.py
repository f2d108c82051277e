"""Whether backends are right, before it counts how fast they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from regseg_core.arrays import Image
from regseg_core.backends import staging
from regseg_core.backends.choose import candidates
from regseg_core.precision import choose_precision
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


@dataclass(frozen=True)
class Question:
    """One that can be asked of a backend."""

    backend: str
    text: str
    #: What is found, and whether it is right.
    answer: Callable[[], tuple[str, bool]]

    def ask(self) -> Check:
        """Raises what the backend does."""
        return Check(self.backend, self.text, *self.answer())


class _Asked:
    """A backend, opened at the first question; `folder` keeps its engines for the later ones."""

    def __init__(
        self, name: str, device: torch.device, images: Sequence[Image], folder: Path
    ) -> None:
        self.name, self.device, self.images, self.folder = name, device, images, folder

    @cached_property
    def _segmenter(self) -> Segmenter:
        return self._new()

    def _new(self) -> Segmenter:
        # int8 has a gate of its own, by scores: here backends are judged by labels.
        precision = choose_precision("auto", self.device)
        return Segmenter(
            device=str(self.device), backend=self.name, precision=precision, cache=self.folder
        )

    def _labels(self, image: Image) -> Image:
        return self._segmenter(image, "rgb8").labels

    def agrees(self, exact: Segmenter) -> tuple[str, bool]:
        equal = [np.mean(self._labels(i) == exact(i, "rgb8").labels) for i in self.images]
        share = float(np.mean(equal))
        found = f"{100 * share:.3f} % of the pixels of {len(equal)} images"
        return found, share >= AGREEMENT

    def gives_threads_their_own(self) -> tuple[str, bool]:
        images = self.images[:_THREADS]
        alone = [self._labels(image) for image in images]

        def works(place: int) -> int:
            place %= len(alone)
            again = (self._labels(images[place]) for _ in range(20))
            return sum(not np.array_equal(labels, alone[place]) for labels in again)

        with ThreadPoolExecutor(_THREADS) as threads:
            wrong = sum(threads.map(works, range(_THREADS)))
        return f"{wrong} of {20 * _THREADS} differ", wrong == 0

    def needs_no_recording(self) -> tuple[str, bool]:
        with staging.nothing_recorded():
            plain = self._new()
            pairs = [(self._labels(i), plain(i, "rgb8").labels) for i in self.images[:4]]
        share = float(np.mean([np.mean(one == other) for one, other in pairs]))
        return f"{100 * share:.3f} % of the pixels", share >= AGREEMENT

    def keeps_its_memory(self, frames: int) -> tuple[str, bool]:
        height, width = self.images[0].shape[:2]
        cuts = [(height, width), (height // 2, width), (height, width // 2)]
        sizes = [self.images[0][:h, :w] for h, w in cuts]
        for image in sizes * 10:
            self._labels(image)
        before = _memory(self.device)
        for turn in range(frames):
            self._labels(sizes[turn % len(sizes)])
        grown = (_memory(self.device) - before) / 1e6
        return f"grows by {grown:.1f} MB in {frames} frames of {len(sizes)} sizes", grown < 20


def questions(
    device: torch.device, images: Sequence[Image], folder: Path, frames: int = 1000
) -> Iterator[Question]:
    """What is asked of each backend of the device.

    `images`: H x W x 3 uint8 RGB, of one size. `folder`: for engines. `frames`: how many alternate
    in size while memory is watched.
    """
    exact = Segmenter(device="cpu", precision="float32", backend="eager", cache=None)
    for name in [backend.name for backend in candidates("auto", device)[0]]:
        asked = _Asked(name, device, images, folder)
        yield Question(name, "has float32's labels", partial(asked.agrees, exact))
        yield Question(
            name, f"gives {_THREADS} threads their own labels", asked.gives_threads_their_own
        )
        if device.type == "cuda":
            yield Question(
                name, "has these labels without CUDA graphs too", asked.needs_no_recording
            )
        yield Question(name, "keeps its memory", partial(asked.keeps_its_memory, frames))


def _memory(device: torch.device) -> float:
    """Bytes in use: of the whole GPU, for libraries allocate for themselves; of this process."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return float(total - free)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
