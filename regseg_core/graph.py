"""From camera bytes to labels in one graph: the one thing that runs, and later gets compiled."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.encodings import ENCODINGS
from regseg_core.model import IMAGENET_MEAN, IMAGENET_STD, MIN_SIZE, RegSeg

#: What the network can compute in.
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Normalize(nn.Module):
    """N x 3 x H x W RGB of 0..255, any dtype -> float32, ImageNet-normalised."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            scaled = torch.tensor(values).mul(255).reshape(1, 3, 1, 1)
            self.register_buffer(name, scaled, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images.float() - self.mean) / self.std


class SegmentationGraph(nn.Module):
    """Normalise -> resize -> network -> upsample -> most probable class.

    `network` runs in the dtype of its parameters. `ids` are the label ids of its outputs, in order.
    `size` is the height and width that the network sees, None the frame's own; never below
    `MIN_SIZE`. With `wide` its planes are int32 instead of uint8, and it has no operator that
    Torch-TensorRT cannot convert. Every choice is made here, so that `torch.export` sees one
    straight line.
    """

    ids: Tensor
    order: Tensor

    def __init__(
        self,
        network: RegSeg,
        ids: tuple[int, ...],
        encoding: str,
        size: tuple[int, int] | None = None,
        confidence: bool = False,
        wide: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.network = network
        order, channels = ENCODINGS[encoding].order, ENCODINGS[encoding].channels
        self.reordered = order != tuple(range(channels))
        self.register_buffer("order", torch.tensor(order, dtype=torch.int32), persistent=False)
        self.size = size
        self.confidence = confidence
        self.wide = wide
        self.ids_differ = ids != tuple(range(len(ids)))
        # int32: TensorRT does nothing with bytes.
        self.register_buffer("ids", torch.tensor(ids, dtype=torch.int32), persistent=False)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """N x H x W x C uint8 in the graph's encoding -> labels, N x H x W uint8.

        With `confidence` also 255 x the softmax probability of that label, N x H x W uint8.
        """
        height, width = frames.shape[1:3]
        # The cast comes first: TensorRT does nothing else with bytes.
        pixels = frames.float().permute(0, 3, 1, 2)
        images = self.normalize(pixels.index_select(1, self.order) if self.reordered else pixels)
        wanted = self.size or (height, width)
        wanted = (max(MIN_SIZE, wanted[0]), max(MIN_SIZE, wanted[1]))
        if wanted != (height, width):
            images = F.interpolate(images, size=wanted, mode="bilinear", align_corners=False)
        images = images.to(self.network.stem.conv.weight.dtype)
        low = self.network.forward_low(images.contiguous(memory_format=torch.channels_last))
        if low.dtype == torch.bfloat16:
            low = low.float()  # it ties too often, and on a CPU it is slower here
        logits = F.interpolate(low, size=(height, width), mode="bilinear", align_corners=False)
        dtype = torch.int32 if self.wide else torch.uint8
        if self.wide:
            best, classes = logits.amax(dim=1), logits.argmax(dim=1)
        else:
            # Gives what `argmax` does and is twice to ten times as fast on a CPU.
            best, classes = logits.max(dim=1)
        labels = self.ids[classes].to(dtype) if self.ids_differ else classes.to(dtype)
        if not self.confidence:
            return (labels,)
        probability = (logits - best.unsqueeze(1)).exp().sum(dim=1).float().reciprocal()
        return labels, (255 * probability).round().to(dtype)
