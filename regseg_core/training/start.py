"""What a network begins its training with: a whole checkpoint, or a classification backbone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from regseg_core.errors import WeightsError, some_of
from regseg_core.model import SegmentationNetwork
from regseg_core.tensor_files import named_tensors, read_tensors
from regseg_core.weights import load_weights, read_card

#: What the entry is called in cards, and in our checkpoints' hyperparameters.
LICENCE = "licence"

#: Of the tensors of a backbone's file, the least share that has to fit.
_LEAST_SHARE = 0.5

# Only normalisation without momentum needs it; a file may lack it.
_COUNTER = "num_batches_tracked"


def start_from(network: SegmentationNetwork, source: str | Path) -> list[str]:
    """Copies first weights from a file, converted to the network's dtypes.

    Returns the names left fresh.

    `source` is a file of the network's weights, as `load_weights` takes them, where a classifier
    for another number of classes stays fresh; or a file of its classification backbone, such as
    ImageNet's, of which those tensors are copied that fit in name and shape. Nothing in a file is
    executed.

    Raises FileNotFoundError, and WeightsError as `load_weights` does, for a backbone of which fewer
    than half of the tensors fit, and for values that are not finite. The network is then unchanged.
    """
    published = named_tensors(read_tensors(source))
    backbone = {new: t for name, t in published.items() if (new := network.rename_backbone(name))}
    if not _is_backbone(network, published, backbone):
        return load_weights(network, source, strict_classes=False)
    wanted = network.state_dict()
    fitting = {n: t for n, t in backbone.items() if n in wanted and t.shape == wanted[n].shape}
    _check(backbone, fitting, source)
    with torch.no_grad():
        for name, tensor in fitting.items():
            wanted[name].copy_(tensor)
    return [n for n in wanted if n not in fitting and not n.endswith(_COUNTER)]


def licence_of(source: Path) -> str | None:
    """What the weights of a file may be used for, where its card or our checkpoint says it.

    Raises as `read_card` and `read_tensors` do.
    """
    if (card := read_card(source)) is not None:
        said = card.about
    else:
        said = read_tensors(source).get("hyper_parameters", {})
    licence = said.get(LICENCE) if isinstance(said, Mapping) else None
    return licence if isinstance(licence, str) else None


def _is_backbone(
    network: SegmentationNetwork, published: Mapping[str, Tensor], backbone: Collection[str]
) -> bool:
    """Whether all that the file has for the network is of its backbone.

    A backbone may have names that the whole network has too.
    """
    own = {network.rename(name) for name in published} & set(network.state_dict())
    return bool(backbone) and own <= set(backbone) and own.isdisjoint(network.classifier_names)


def _check(
    backbone: Mapping[str, Tensor], fitting: Mapping[str, Tensor], source: str | Path
) -> None:
    """Raises WeightsError where too few tensors fit, or a value is not finite."""
    counted = [name for name in backbone if not name.endswith(_COUNTER)]
    misfits = [name for name in counted if name not in fitting]
    fits = len(counted) - len(misfits)
    if fits < _LEAST_SHARE * len(counted) or not fits:
        raise WeightsError(
            f"{source} holds a classification backbone, of which {fits} of {len(counted)} tensors"
            f" fit this model (not {some_of(misfits)}); give the file of the backbone that this"
            " model has, or weights of the whole model"
        )
    infinite = [name for name, tensor in fitting.items() if not torch.isfinite(tensor).all()]
    if infinite:
        raise WeightsError(
            f"{source}: {len(infinite)} tensors with values that are not finite:"
            f" {some_of(infinite, 10)}; give a file that is whole"
        )


def in_modules(network: SegmentationNetwork, names: Collection[str]) -> list[str]:
    """The same tensors in fewer words: modules whose every tensor is among `names`, and the rest.

    In the network's order.
    """
    named = set(names)
    all_names = [name for name in network.state_dict() if not name.endswith(_COUNTER)]
    mixed = {parent for name in all_names if name not in named for parent in _parents(name)}
    shortened = {
        name: next((parent for parent in _parents(name) if parent not in mixed), name)
        for name in all_names
        if name in named
    }
    return list(dict.fromkeys(shortened.values()))


def _parents(name: str) -> list[str]:
    """Modules that hold the tensor, outermost first."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
