"""How well weights do on labelled images, each seen as the node sees it or in several views."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from regseg_core.arrays import Image
from regseg_core.data.labelled import Titled, refuse_unpaired
from regseg_core.errors import ArgumentError
from regseg_core.evaluation.metrics import ConfusionMatrix
from regseg_core.frame import Frame
from regseg_core.graph import Normalize
from regseg_core.labels import LabelSet
from regseg_core.pipelining import batch_on, pipelined
from regseg_core.segmenter import Segmenter


class Predict(Protocol):
    """Says what is seen in images."""

    #: How many images at once it is best at.
    batch: int

    def __call__(self, images: Sequence[Image]) -> list[Image]:
        """H x W x 3 uint8 RGB each -> H x W uint8 class indices each."""


class SingleView:
    """Each image as the node segments it."""

    def __init__(self, segment: Segmenter) -> None:
        self.segment, self.batch = segment, batch_on(segment.device)

    def __call__(self, images: Sequence[Image]) -> list[Image]:
        results = self.segment.segment([Frame.of(image, "rgb8") for image in images])
        return [self.segment.labels.to_indices(result.labels) for result in results]


class AveragedViews:
    """Mean of the class probabilities over an image at several sizes, and mirrored if `flip`.

    `scales` are factors of the image's size; 1 is its own, and no view is smaller than the network
    can see. Raises ArgumentError for one that is not above 0.
    """

    batch = 1

    def __init__(self, segment: Segmenter, scales: Sequence[float], flip: bool) -> None:
        if not scales or min(scales) <= 0:
            raise ArgumentError(f"scales must be greater than 0, not {list(scales)}")
        self.segment, self.scales, self.flip = segment, scales, flip
        self._normalize = Normalize(segment.network.normalization).to(segment.device)

    def __call__(self, images: Sequence[Image]) -> list[Image]:
        return [self._indices(image) for image in images]

    @torch.inference_mode()
    def _indices(self, image: Image) -> Image:
        pixels = torch.from_numpy(image).to(self.segment.device)
        whole = self._normalize(pixels.permute(2, 0, 1).unsqueeze(0))
        views = [(whole, False), (whole.flip(3), True)] if self.flip else [(whole, False)]
        summed = torch.zeros((), device=self.segment.device)
        for view, mirrored in views:
            for scale in self.scales:
                probabilities = self._probabilities(view, scale)
                summed = summed + (probabilities.flip(3) if mirrored else probabilities)
        indices: Image = summed.argmax(1)[0].to("cpu", torch.uint8).numpy()
        return indices

    def _probabilities(self, view: Tensor, scale: float) -> Tensor:
        height, width = view.shape[2:]
        network = self.segment.network
        size = [max(network.min_size, round(length * scale)) for length in (height, width)]
        scaled = F.interpolate(view, size=size, mode="bilinear", antialias=scale < 1)
        low = network.forward_low(
            scaled.to(network.dtype).contiguous(memory_format=torch.channels_last)
        )
        logits = F.interpolate(low.float(), size=(height, width), mode="bilinear")
        return logits.softmax(1)


@dataclass(frozen=True)
class Scored:
    """One image, what is true and what was predicted: H x W (x 3) uint8."""

    title: str
    image: Image
    truth: Image
    predicted: Image


class Scorer:
    """Predicts all images, counts pixels and time.

    Raises DataError where an image or label has no partner.
    """

    def __init__(self, predict: Predict, images: Titled, labels: LabelSet) -> None:
        refuse_unpaired(images)
        self.predict, self.images, self.labels = predict, images, labels
        self.matrix = ConfusionMatrix(len(labels))
        self._count, self._seconds = 0, 0.0

    def __iter__(self) -> Generator[Scored, None, None]:
        """One image after the other, with a progress bar; the next are read meanwhile.

        Raises DataError for a bad file.
        """
        pairs = ((index, *self.images[index]) for index in range(len(self.images)))
        with pipelined(pairs, self._predict, self.predict.batch) as results:
            bar = tqdm(results, "evaluating", len(self.images), unit="image", leave=False)
            for (index, image, truth), predicted in bar:
                self.matrix.update(torch.from_numpy(predicted), torch.from_numpy(truth))
                self._count += 1
                yield Scored(self.images.title(index), image, truth, predicted)

    def _predict(self, pairs: Sequence[tuple[int, Image, Image]]) -> list[Image]:
        started = time.perf_counter()
        predicted = self.predict([image for _, image, _ in pairs])
        self._seconds += time.perf_counter() - started
        return predicted

    def scores(self) -> dict[str, Any]:
        """Scores so far in percent (`ConfusionMatrix.scores`), and images segmented per second.

        That is the rate of `predict` alone: what reads and counts is not in it.
        """
        return {
            "images": self._count,
            **self.matrix.scores(self.labels.names),
            "images_per_second": round(self._count / max(self._seconds, 1e-9), 1),
        }


def evaluate(predict: Predict, images: Titled, labels: LabelSet) -> dict[str, Any]:
    """The scores of `Scorer` over all images."""
    scorer = Scorer(predict, images, labels)
    for _ in scorer:
        pass
    return scorer.scores()
