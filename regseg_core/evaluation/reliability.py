"""Whether confidence is what it says: of the pixels that are 80 % sure, 80 % are right.

A temperature that divides the logits makes it so, and changes no label: "On Calibration of Modern
Neural Networks" (Guo et al., arXiv 1706.04599), with all pixels as its examples.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from regseg_core.arrays import Doubles
from regseg_core.data.labelled import Titled
from regseg_core.data.sampling import spread
from regseg_core.graph import SegmentationGraph
from regseg_core.labels import IGNORE_INDEX
from regseg_core.model import SegmentationNetwork

#: What is tried: from a quarter to four, 4 % apart, as the likelihood is flat around its best.
TEMPERATURES = tuple(float(value) for value in 1.04 ** np.arange(-35, 36))

_BINS = 20

#: Pixels: bins with fewer are not drawn.
_FEW = 20

#: Pixels of an image, about, as neighbours say the same, and images, from all over a data set.
_PIXELS, _IMAGES = 10_000, 100


class Curve(NamedTuple):
    """Of bins by how sure the network is: means where there are pixels, and all bins' shares."""

    confidence: Doubles
    right: Doubles
    share: Doubles


class Reliability:
    """Labelled pixels, by how sure the network was and how often it was right."""

    def __init__(self) -> None:
        tried = len(TEMPERATURES)
        self.pixels = 0
        #: Sum over the pixels of -log p(truth), by temperature.
        self._loss = torch.zeros(tried, dtype=torch.float64)
        #: Temperatures x bins: pixels, sum of their confidence, and how many are right.
        self._bins = torch.zeros(3, tried, _BINS, dtype=torch.float64)

    def update(self, logits: Tensor, truth: Tensor) -> None:
        """C x H x W float logits of an image and its H x W class indices, 255 for none."""
        stride = max(1, round(math.sqrt(truth.numel() / _PIXELS)))
        chosen = truth[::stride, ::stride]
        known = chosen != IGNORE_INDEX
        scores = logits[:, ::stride, ::stride][:, known].float()
        right = (scores.argmax(0) == chosen[known]).double().cpu()
        truth_index = chosen[known].long()[None]
        self.pixels += len(right)
        for place, temperature in enumerate(TEMPERATURES):
            logs = (scores / temperature).log_softmax(0)
            self._loss[place] -= logs.gather(0, truth_index).double().sum().cpu()
            sure = logs.amax(0).exp().double().cpu()
            where = (sure * _BINS).long().clamp(max=_BINS - 1)
            for kind, values in enumerate((torch.ones_like(sure), sure, right)):
                self._bins[kind, place] += torch.bincount(where, values, _BINS)

    @property
    def temperature(self) -> float:
        """The one under which the truth is most likely; 1 where nothing is labelled."""
        return TEMPERATURES[int(self._loss.argmin())] if self.pixels else 1.0

    def error(self, temperature: float) -> float:
        """Expected calibration error, 0 to 1: how far confidence is off, the mean over pixels.

        Of one of TEMPERATURES.
        """
        _, sure, right = self._bins[:, TEMPERATURES.index(temperature)]
        return float((sure - right).abs().sum() / max(1, self.pixels))

    @property
    def title(self) -> str:
        """For people."""
        now, best = (100 * self.error(value) for value in (1.0, self.temperature))
        return (
            f"confidence is off by {now:.1f} %; {best:.1f} % at temperature {self.temperature:.2f}"
        )

    def curve(self, temperature: float) -> Curve:
        """What there is to draw, of one of TEMPERATURES."""
        count, sure, right = self._bins[:, TEMPERATURES.index(temperature)].numpy()
        filled = count >= _FEW
        return Curve(
            sure[filled] / count[filled], right[filled] / count[filled], count / max(1, count.sum())
        )

    def curves(self) -> dict[str, Curve]:
        """As confidence comes, and at the best temperature, by what they are called."""
        best = f"logits divided by {self.temperature:.2f}"
        return {"as it is": self.curve(1.0), best: self.curve(self.temperature)}


@torch.inference_mode()
def reliability(
    network: SegmentationNetwork, images: Titled, size: tuple[int, int] | None = None
) -> Reliability:
    """That of a network in evaluation mode on labelled images, which it sees at `size`.

    None: at their own. At most 100 of them, from all over. Raises DataError for a bad file.
    """
    found = Reliability()
    device = next(network.parameters()).device
    graph = SegmentationGraph(network, tuple(range(network.num_classes)), "rgb8", size).to(device)
    for place in tqdm(spread(len(images), _IMAGES), "confidence", unit="image", leave=False):
        image, truth = images[place]
        low = graph.logits(graph.decode(torch.from_numpy(image).to(device)[None]))
        logits = F.interpolate(low.float(), size=truth.shape, mode="bilinear")
        found.update(logits[0], torch.from_numpy(truth).to(device))
    return found
