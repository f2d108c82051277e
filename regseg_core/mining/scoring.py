"""Frames through the network, to how unsure it is of each."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence

from torch import Tensor

from regseg_core.arrays import Image
from regseg_core.errors import ArgumentError
from regseg_core.frame import Frame
from regseg_core.mining.candidate import Candidate
from regseg_core.mining.choosing import Scored
from regseg_core.mining.likeness import describe
from regseg_core.mining.seen import Seen, Viewer, small_gray
from regseg_core.mining.uncertainty import UNCERTAINTIES
from regseg_core.pipelining import batch_on, pipelined
from regseg_core.segmenter import Segmenter

_Item = tuple[Candidate, Frame, Image]


def score(
    segment: Segmenter, frames: Iterable[tuple[Candidate, Frame]], by: str
) -> Generator[Scored, None, None]:
    """Each frame with its score, in order; the next ones are read meanwhile, in a thread.

    `by`: a name of UNCERTAINTIES. The frames of a bag come one after another, those of a camera in
    the order of time; cameras may alternate. No frame is kept: of each camera only what the network
    made of the last one is. Raises ArgumentError for another name, and what `frames` raises, after
    the scores of all before it.
    """
    if by not in UNCERTAINTIES:
        raise ArgumentError(f"by {by!r}: give one of {', '.join(UNCERTAINTIES)}")
    return _scored(segment, frames, by)


def _scored(
    segment: Segmenter, frames: Iterable[tuple[Candidate, Frame]], by: str
) -> Generator[Scored, None, None]:
    measure, viewer = UNCERTAINTIES[by], Viewer(segment)

    def compute(items: Sequence[_Item]) -> list[Tensor]:
        return viewer.logits([frame for _, frame, _ in items])

    prepared = ((candidate, frame, small_gray(frame)) for candidate, frame in frames)
    with pipelined(prepared, compute, batch_on(segment.device)) as results:
        bag, last = None, dict[str, Seen]()
        for (candidate, _, gray), logits in results:
            if candidate.bag != bag:
                bag, last = candidate.bag, {}
            seen = Seen(candidate.time_ns, logits, gray)
            value = measure(seen, last.get(candidate.camera))
            last[candidate.camera] = seen
            # Half a float's range may be exceeded on a GPU.
            known = value is not None and math.isfinite(value)
            yield Scored(candidate, value if known else None, describe(seen))
