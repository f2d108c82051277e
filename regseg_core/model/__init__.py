"""What a network is, and every one there is."""

from regseg_core.model.contract import Normalization, SegmentationNetwork, Term
from regseg_core.model.folding import fold_norms
from regseg_core.model.registry import create_model, model_names, normalization_of

__all__ = [
    "Normalization",
    "SegmentationNetwork",
    "Term",
    "create_model",
    "fold_norms",
    "model_names",
    "normalization_of",
]
