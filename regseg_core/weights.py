"""Weight files: reading ours and the published ones, checking them, writing them safely."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from regseg_core.files import write_bytes
from regseg_core.labels import LabelSet
from regseg_core.model import IMAGENET_MEAN, IMAGENET_STD, RegSeg, create_model

#: Prefixes that wrappers put before parameter names: Lightning's task, DistributedDataParallel.
_PREFIXES = ("network.", "module.")

_CLASSIFIER = ("decoder.classifier.weight", "decoder.classifier.bias")


class WeightsError(ValueError):
    """Weights that cannot be used, with every reason found."""


@dataclass(frozen=True)
class ModelCard:
    """What weights are: the network and classes they fit, how they came to be, how they score."""

    architecture: str
    labels: LabelSet
    #: Free entries for people: training command and data, scores, licence.
    about: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(
            {
                "architecture": self.architecture,
                "labels": self.labels.to_dict(),
                "normalization": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "order": "rgb"},
                **self.about,
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Raises WeightsError for text that is no card, or one of another normalisation."""
        try:
            data = json.loads(text)
            normalization = data.pop("normalization")
            architecture, labels = str(data.pop("architecture")), data.pop("labels")
            card = cls(architecture, LabelSet.from_dict(labels), data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"not a model card: {error!r}") from error
        theirs = (normalization.get("mean"), normalization.get("std"), normalization.get("order"))
        if theirs != (list(IMAGENET_MEAN), list(IMAGENET_STD), "rgb"):
            raise WeightsError(
                f"weights for inputs normalised with {normalization}; RegSeg here normalises RGB"
                f" with mean {IMAGENET_MEAN} and std {IMAGENET_STD}"
            )
        return card


def load_weights(
    model: nn.Module, source: str | Path | Mapping[str, Tensor], strict_classes: bool = True
) -> list[str]:
    """Copies weights into `model`, converted to its dtypes; returns the names left fresh.

    `source` is a path (safetensors, our training checkpoint, a published `.pth`) or a mapping of
    parameter names to tensors. With `strict_classes=False` a classifier for another number of
    classes is left as it is, and its names are returned. Nothing in a file is executed.

    Raises FileNotFoundError; WeightsError for a file that holds no weights, and one error that
    names all missing, unexpected, wrongly shaped and non-finite parameters. The model is then
    unchanged.
    """
    given = _unwrap(source if isinstance(source, Mapping) else read_tensors(source))
    origin = "the given mapping" if isinstance(source, Mapping) else str(source)
    wanted = model.state_dict()
    # The counter only matters to BatchNorm without momentum, which RegSeg does not have.
    missing = [n for n in wanted if n not in given and not n.endswith("num_batches_tracked")]
    unexpected = [n for n in given if n not in wanted]
    both = [n for n in wanted if n in given]
    misshapen = [n for n in both if given[n].shape != wanted[n].shape]
    fresh = [] if strict_classes else [n for n in misshapen if n in _CLASSIFIER]
    misshapen = [n for n in misshapen if n not in fresh]
    infinite = [n for n in both if not torch.isfinite(given[n]).all()]

    shapes = [f"{n} {_shape(given[n])} where the model has {_shape(wanted[n])}" for n in misshapen]
    problems = [
        f"{len(names)} {what}: {', '.join(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of the wrong shape", shapes),
            ("with values that are not finite", infinite),
        )
        if names
    ]
    if problems:
        hint = ""
        if misshapen and set(misshapen) <= set(_CLASSIFIER):
            theirs, ours = (len(tensors[misshapen[0]]) for tensors in (given, wanted))
            hint = (
                f"; they are for {theirs} classes and the model has {ours}"
                " (strict_classes=False leaves its classifier fresh)"
            )
        raise WeightsError(
            f"{origin} does not fit this model; parameters {'; '.join(problems)}{hint}"
        )
    with torch.no_grad():
        for name in both:
            if name not in fresh:
                wanted[name].copy_(given[name])
    return fresh


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "scalar"


def read_tensors(path: str | Path) -> dict[str, Any]:
    """What a safetensors file or a torch checkpoint holds, on the CPU, running none of it.

    Raises FileNotFoundError and WeightsError.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {str(path)!r}")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a whole safetensors file: {error}") from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader raise anything
        raise WeightsError(
            f"{path} is not a checkpoint of plain tensors (truncated, of another kind, or holding"
            f" code, which is never run): {str(error).partition(chr(10))[0] or repr(error)}"
        ) from error
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, not named tensors")
    return loaded


def _unwrap(loaded: Mapping[str, Any]) -> dict[str, Tensor]:
    for wrapper in ("model", "state_dict"):
        if isinstance(inner := loaded.get(wrapper), Mapping):
            loaded = inner
    named = all(isinstance(n, str) and isinstance(t, Tensor) for n, t in loaded.items())
    if not loaded or not named:
        raise WeightsError("these weights hold no named tensors")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in loaded):
            loaded = {name.removeprefix(prefix): value for name, value in loaded.items()}
    return dict(loaded)


def save_weights(path: str | Path, model: RegSeg, card: ModelCard) -> None:
    """Writes safetensors with the card inside, and the card beside it as JSON.

    Convolutions in float16, normalisation parameters and statistics in float32. Written beside
    and renamed: a failed write leaves the old files whole. Raises FileError.
    """
    path = Path(path).with_suffix(".safetensors")
    wide = {
        f"{name}.{key}"
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for key in module.state_dict()
    }
    tensors = {
        name: value.detach()
        .to("cpu", torch.float32 if name in wide else torch.float16)
        .contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    write_bytes(path, safetensors.torch.save(tensors, metadata={"card": card.to_json()}))
    write_bytes(path.with_suffix(".json"), (card.to_json() + "\n").encode())


def read_card(path: str | Path) -> ModelCard | None:
    """The card inside a safetensors file; None for other files and for files without one.

    Raises WeightsError for a damaged file or card.
    """
    if Path(path).suffix != ".safetensors":
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("card")
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a whole safetensors file: {error}") from error
    return None if text is None else ModelCard.from_json(text)


def build_model(card: ModelCard, path: str | Path) -> RegSeg:
    """The network of a card with the weights of a file, ready for inference."""
    model = create_model(card.architecture, len(card.labels))
    load_weights(model, path)
    return model.eval()
