"""The whole network: stem, backbone, decoder."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from regseg_core.model.backbone import Backbone, BackboneSpec
from regseg_core.model.blocks import ConvBnAct
from regseg_core.model.decoder import DecoderSpec, build_decoder

#: Per channel R, G, B of pixel values in 0..1: what `RegSeg` expects its input normalised with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: The smallest height and width that the network takes.
MIN_SIZE = 32

_STEM_CHANNELS = 32


class RegSeg(nn.Module):
    """RegSeg (Gao, arXiv 2111.09957): images -> logits of the images' size."""

    def __init__(self, backbone: BackboneSpec, decoder: DecoderSpec, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stem = ConvBnAct(3, _STEM_CHANNELS, 3, stride=2)
        self.body = Backbone(backbone, _STEM_CHANNELS)
        last = [rows[-1].channels for rows in backbone.stages.values()]
        self.decoder = build_decoder(decoder, (last[0], last[1], last[-1]), num_classes)

    def forward_low(self, images: Tensor) -> Tensor:
        """Float N x 3 x H x W, ImageNet-normalised -> the decoder's logits, before upsampling.

        Of 1/4 of the input's size with decoders 26 and 29, 1/8 with the others (rounded up).
        Raises ValueError for any other shape, or H or W below 32.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[-2:]) < MIN_SIZE:
            raise ValueError(
                f"images must be N x 3 x H x W with H and W of at least {MIN_SIZE},"
                f" not {tuple(images.shape)}"
            )
        logits: Tensor = self.decoder(self.body(self.stem(images)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Float N x 3 x H x W, ImageNet-normalised -> logits N x C x H x W.

        Raises ValueError as `forward_low` does.
        """
        logits = self.forward_low(images)
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)
