"""How unsure the network is of a frame: one number, the higher the more it may learn from it."""

from __future__ import annotations

import math
from collections.abc import Callable

from regseg_core.mining.flow import changed
from regseg_core.mining.seen import Seen

#: Seconds between two frames of a camera beyond which they are no neighbours.
LONGEST_GAP = 1.0

#: Of a frame, and of the one before from the same camera, if there is one; None: has no score.
Uncertainty = Callable[[Seen, Seen | None], float | None]


def entropy(seen: Seen, before: Seen | None = None) -> float:
    """Mean over pixels of the entropy of the class probabilities, in units of ln(C): 0 to 1.

    Shannon's, the commonest measure of active learning: Settles, Active Learning Literature Survey,
    University of Wisconsin-Madison, TR 1648, 2009, section 3.1.
    """
    plain = -(seen.probabilities * seen.logits.log_softmax(0)).sum(0).mean()
    return float(plain) / math.log(max(2, len(seen.logits)))


def margin(seen: Seen, before: Seen | None = None) -> float:
    """Mean over pixels of 1 - (p1 - p2), of the two most probable classes: 0 to 1.

    Margin sampling (Settles 2009, section 3.1). For deep networks both measures are those of Wang
    and Shang, A New Active Labeling Method for Deep Learning, IJCNN 2014.
    """
    best = seen.probabilities.topk(min(2, len(seen.logits)), 0).values
    return float((1 - best[0] + best[1:].sum(0)).mean())


def temporal(seen: Seen, before: Seen | None) -> float | None:
    """Share of the pixels on which it has changed its mind since the frame before: 0 to 1.

    Labels are moved along the optical flow first (`regseg_core.mining.flow.changed`). None for a
    frame that has none within LONGEST_GAP before it, or of another size, or that cannot be followed
    from there. That true labels move with the pixels is how Varghese et al., Unsupervised Temporal
    Consistency Metric for Video Segmentation in Highly-Automated Driving, CVPR Workshops 2020,
    judge networks without labels.
    """
    if before is None or not 0 < seen.time_ns - before.time_ns <= 1e9 * LONGEST_GAP:
        return None
    if before.gray.shape != seen.gray.shape:
        return None
    return changed(before.gray, seen.gray, before.labels, seen.labels)


UNCERTAINTIES: dict[str, Uncertainty] = {
    "entropy": entropy,
    "margin": margin,
    "temporal": temporal,
}
