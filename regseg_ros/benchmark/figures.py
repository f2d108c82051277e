"""What became of the frames of one measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Which camera, its stamp in ns.
Sent = tuple[int, int]
#: The same, and when its mask came, in ns.
Arrival = tuple[int, int, int]


@dataclass(frozen=True)
class Figures:
    """Of all cameras together. Times in milliseconds, memory in MiB, rates in Hz.

    Every frame that was sent had a mask, was dropped by the node (a newer one replaced it), or was
    lost on its way to the node, or its mask was lost on the way to the sink.
    """

    sent: int
    received: int
    masks: int
    dropped: int
    lost: int
    masks_lost: int
    sending_rate: float
    throughput: float
    #: From the camera's stamp to the mask in the sink.
    p50: float
    p95: float
    p99: float
    #: Longest time between two masks of one camera.
    gap: float
    #: The Segmenter's call alone, median and p95, and drawing the mask after it.
    call: float
    call_p95: float
    mask: float
    #: p50 without the call, and throughput as a share of 1 / call.
    beyond: float
    share: float
    #: Processor time: of the camera per frame sent, of the others per mask.
    camera_cpu: float
    node_cpu: float
    sink_cpu: float
    #: Cores that the node keeps busy.
    cores: float
    resident: float
    proportional: float
    private: float
    peak: float
    backend: str


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95, p99; not a number where there are none."""
    if not values:
        return (float("nan"),) * 3
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return float(p50), float(p95), float(p99)


def latencies(sent: Sequence[Sent], arrivals: Sequence[Arrival]) -> list[float]:
    """Milliseconds from the stamp to the arrival of each mask of a frame that was sent."""
    known = set(sent)
    return [(came - stamp) * 1e-6 for camera, stamp, came in arrivals if (camera, stamp) in known]


def longest_gap(arrivals: Sequence[Arrival]) -> float:
    """Milliseconds between two masks of one camera at the most; 0 where there are no two."""
    gap, last = 0.0, dict[int, int]()
    for camera, _, came in arrivals:
        gap = max(gap, (came - last.get(camera, came)) * 1e-6)
        last[camera] = came
    return gap


def rate_of(times: Sequence[int]) -> float:
    """Events a second, of their times in ns; 0 where there are no two."""
    span = (max(times) - min(times)) * 1e-9 if times else 0.0
    return (len(times) - 1) / span if span else 0.0
