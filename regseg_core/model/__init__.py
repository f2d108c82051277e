"""The network and its variants."""

from regseg_core.model.network import IMAGENET_MEAN, IMAGENET_STD, MIN_SIZE, RegSeg
from regseg_core.model.variants import create_model, model_names

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "MIN_SIZE", "RegSeg", "create_model", "model_names"]
