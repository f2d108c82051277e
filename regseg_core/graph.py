"""From camera bytes to labels in one graph: the one thing that runs, and gets compiled."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.encodings import ENCODINGS
from regseg_core.model import Normalization, SegmentationNetwork
from regseg_core.rotation import turn
from regseg_core.upsampling import upsampled_bands


class Normalize(nn.Module):
    """N x 3 x H x W RGB of 0..255, any dtype -> float32, normalised and ordered for a network."""

    mean: Tensor
    std: Tensor

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()
        for name, values in (("mean", normalization.mean), ("std", normalization.std)):
            scaled = torch.tensor(values).mul(255).reshape(1, 3, 1, 1)
            self.register_buffer(name, scaled, persistent=False)
        self.reversed = normalization.order == "bgr"

    def forward(self, images: Tensor) -> Tensor:
        normal = (images.float() - self.mean) / self.std
        return normal.flip(1) if self.reversed else normal


class SegmentationGraph(nn.Module):
    """Decode -> normalise -> turn -> resize -> network -> turn back -> upsample -> best class.

    `network` runs in the dtype of its parameters. `ids` are the label ids of its outputs, in order.
    `rotation` is how many degrees clockwise make a frame upright; the network sees it so, and the
    labels lie as the frame does. `size` is the height and width that the network sees, None the
    upright frame's own; never below its `min_size`. With `wide` the planes are int32 instead of
    uint8, and no operator is left that Torch-TensorRT cannot convert. With `banded` the logits are
    upsampled a few rows at a time, as OpenVINO does it best. Every choice is made here, so that
    `torch.export` sees one straight line.
    """

    ids: Tensor

    def __init__(
        self,
        network: SegmentationNetwork,
        ids: tuple[int, ...],
        encoding: str,
        size: tuple[int, int] | None = None,
        confidence: bool = False,
        wide: bool = False,
        rotation: int = 0,
        banded: bool = False,
    ) -> None:
        super().__init__()
        self.decode = ENCODINGS[encoding].decoder()
        self.normalize = Normalize(network.normalization)
        self.network = network
        self.size = size
        self.confidence = confidence
        self.wide = wide
        self.rotation = rotation
        self.banded = banded
        self.ids_differ = ids != tuple(range(len(ids)))
        # int32: TensorRT does nothing with bytes.
        self.register_buffer("ids", torch.tensor(ids, dtype=torch.int32), persistent=False)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Uint8 frames, N x the encoding's shape -> labels, N x H x W uint8.

        With `confidence` also 255 x the softmax probability of that label, N x H x W uint8.
        """
        images = self.decode(frames)
        height, width = images.shape[2:]
        low = self.logits(images)
        if not self.banded:
            return self._planes(
                F.interpolate(low, size=(height, width), mode="bilinear", align_corners=False)
            )
        bands = [self._planes(band) for band in upsampled_bands(low, height, width)]
        return tuple(torch.cat(parts, dim=1) for parts in zip(*bands, strict=True))

    def logits(self, images: Tensor) -> Tensor:
        """N x 3 x H x W RGB of 0..255 -> the network's logits, N x C x h x w, lying as they do.

        In the network's dtype, but float32 for bfloat16.
        """
        images = turn(self.normalize(images), self.rotation)
        least = self.network.min_size
        wanted = self.size or tuple(images.shape[2:])
        wanted = (max(least, wanted[0]), max(least, wanted[1]))
        if wanted != tuple(images.shape[2:]):
            images = F.interpolate(images, size=wanted, mode="bilinear", align_corners=False)
        images = images.to(self.network.dtype)
        low = self.network.forward_low(images.contiguous(memory_format=torch.channels_last))
        if low.dtype == torch.bfloat16:
            low = low.float()  # it ties too often, and on a CPU it is slower here
        return turn(low, (360 - self.rotation) % 360)

    def _planes(self, logits: Tensor) -> tuple[Tensor, ...]:
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
