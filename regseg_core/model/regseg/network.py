"""RegSeg: stem, backbone, decoder."""

from __future__ import annotations

from torch import Tensor

from regseg_core.model.contract import IMAGENET, SegmentationNetwork, check_images
from regseg_core.model.layers import ConvBnAct
from regseg_core.model.regseg.backbone import Backbone, BackboneSpec
from regseg_core.model.regseg.decoder import DecoderSpec, build_decoder

_STEM_CHANNELS = 32


class RegSeg(SegmentationNetwork):
    """RegSeg (Gao, arXiv 2111.09957): images -> logits of the images' size."""

    min_size = 32
    normalization = IMAGENET
    classifier_names = ("decoder.classifier.weight", "decoder.classifier.bias")

    def __init__(self, backbone: BackboneSpec, decoder: DecoderSpec, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stem = ConvBnAct(3, _STEM_CHANNELS, 3, stride=2)
        self.body = Backbone(backbone, _STEM_CHANNELS)
        last = [rows[-1].channels for rows in backbone.stages.values()]
        self.decoder = build_decoder(decoder, (last[0], last[1], last[-1]), num_classes)

    def forward_low(self, images: Tensor) -> Tensor:
        """Logits of 1/4 of the input's size with decoders 26 and 29, 1/8 with the others, rounded
        up. Raises ValueError as the contract says.
        """
        check_images(images, self.min_size)
        logits: Tensor = self.decoder(self.body(self.stem(images)))
        return logits
