"""Real-time semantic segmentation with RegSeg, as a plain Python library."""

import regseg_core.threads  # noqa: F401  # first: it says how PyTorch's threads are to wait
from regseg_core.errors import RegSegError
from regseg_core.frame import Frame
from regseg_core.labels import LabelSet
from regseg_core.model import create_model, model_names
from regseg_core.segmentation import Segmentation
from regseg_core.segmenter import Segmenter
from regseg_core.weights import load_weights

__all__ = [
    "Frame",
    "LabelSet",
    "RegSegError",
    "Segmentation",
    "Segmenter",
    "create_model",
    "load_weights",
    "model_names",
]
