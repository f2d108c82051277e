"""Weights in a network: taken from ours and the published files, checked, written safely."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from regseg_core import zoo
from regseg_core.errors import WeightsError, some_of
from regseg_core.files import write_bytes
from regseg_core.labels import LabelSet
from regseg_core.model import (
    Normalization,
    SegmentationNetwork,
    create_model,
    fold_norms,
    normalization_of,
)
from regseg_core.model.contract import IMAGENET
from regseg_core.tensor_files import named_tensors, read_tensors


@dataclass(frozen=True)
class ModelCard:
    """What weights are: the network and classes they fit, how they came to be, how they score."""

    architecture: str
    labels: LabelSet
    #: Free entries for people: training command and data, scores, licence.
    about: dict[str, Any] = field(default_factory=dict)
    #: What the network's input was normalised with while it was trained.
    normalization: Normalization = IMAGENET
    #: What divides the logits, so that confidence is what it says; labels stay what they are.
    temperature: float = 1.0

    def to_json(self) -> str:
        return json.dumps(
            {
                "architecture": self.architecture,
                "labels": self.labels.to_dict(),
                "normalization": self.normalization.to_dict(),
                **({"temperature": self.temperature} if self.temperature != 1 else {}),
                **self.about,
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Raises WeightsError for text that is no card, or of weights for other than 3 channels.

        No temperature is 1.
        """
        try:
            data = json.loads(text)
            given = data.pop("normalization")
            architecture, labels = str(data.pop("architecture")), data.pop("labels")
            mean, std = (tuple(map(float, given[key])) for key in ("mean", "std"))
            temperature = float(data.pop("temperature", 1.0))
            order = given["order"]
            if order not in ("rgb", "bgr") or len(mean) != 3 or len(std) != 3:
                raise WeightsError(
                    f"weights for inputs normalised with {given}; order must be rgb or bgr, and"
                    " mean and std three numbers"
                )
            if not 0 < temperature < math.inf:
                raise WeightsError(f"temperature {temperature}: it must be above 0")
            return cls(
                architecture,
                LabelSet.from_dict(labels),
                data,
                Normalization(mean, std, order),
                temperature,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"not a model card: {error!r}") from error


def load_weights(
    model: SegmentationNetwork,
    source: str | Path | Mapping[str, Tensor],
    strict_classes: bool = True,
) -> list[str]:
    """Copies weights into `model`, converted to its dtypes; returns the names left fresh.

    `source` is a path (safetensors, our training checkpoint, a published `.pth`) or a mapping of
    parameter names to tensors; published tensors that no path uses are left out. Heads that only
    training uses may be missing. With `strict_classes=False` a classifier for another number of
    classes is left as it is, and its names are returned. Nothing in a file is executed.

    Raises FileNotFoundError; WeightsError for a file that holds no weights, and one error that
    counts and names missing, unexpected, wrongly shaped and non-finite parameters, or says that
    none is of this network. The model is then unchanged.
    """
    published = named_tensors(source if isinstance(source, Mapping) else read_tensors(source))
    given = {new: value for name, value in published.items() if (new := model.rename(name))}
    origin = "the given mapping" if isinstance(source, Mapping) else str(source)
    wanted = model.state_dict()
    # The counter only matters to BatchNorm without momentum, which no network has.
    absent = [n for n in wanted if n not in given and not n.endswith("num_batches_tracked")]
    missing = [n for n in absent if not model.trains_only(n)]
    unexpected = [n for n in given if n not in wanted]
    both = [n for n in wanted if n in given]
    if not both:
        raise WeightsError(
            f"{origin} holds weights of another network: none of its {len(published)} tensors"
            f" ({some_of(published)}) is one of this model's {len(wanted)} ({some_of(wanted)});"
            " give weights of this network, or the model that they are of"
        )
    misshapen = [n for n in both if given[n].shape != wanted[n].shape]
    fresh = [] if strict_classes else [n for n in misshapen if n in model.classifier_names]
    misshapen = [n for n in misshapen if n not in fresh]
    infinite = [n for n in both if not torch.isfinite(given[n]).all()]

    shapes = [f"{n} {_shape(given[n])} where the model has {_shape(wanted[n])}" for n in misshapen]
    problems = [
        f"{len(names)} {what}: {some_of(names, 10)}"
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
        if misshapen and set(misshapen) <= set(model.classifier_names):
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
    return fresh + [n for n in absent if model.trains_only(n)]


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "scalar"


def save_weights(path: str | Path, model: SegmentationNetwork, card: ModelCard) -> None:
    """Writes safetensors with the card inside, and the card beside it as JSON.

    The card then has the model's normalisation. Heads that only training uses are left out.
    Convolutions in float16, normalisation parameters and statistics in float32. Written beside and
    renamed: a failed write leaves the old files whole. Raises FileError.
    """
    path = Path(path).with_suffix(".safetensors")
    card = replace(card, normalization=model.normalization)
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
        if not name.endswith("num_batches_tracked") and not model.trains_only(name)
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


def find_weights(
    weights: str | Path, model: str | None = None, labels: LabelSet | str | Path | None = None
) -> tuple[ModelCard, Path]:
    """The file of weights, shipped ones by name, and their card.

    `model` and `labels` (a label set, its name or YAML file) take the place of the card's; files
    without a card, such as the published `.pth` checkpoints, need both. Raises FileNotFoundError,
    WeightsError and LabelError.
    """
    path = zoo.find(weights)
    card = read_card(path)
    if labels is not None and not isinstance(labels, LabelSet):
        labels = LabelSet.load(labels)
    if card is not None:
        return replace(
            card, architecture=model or card.architecture, labels=labels or card.labels
        ), path
    if model is None or labels is None:
        raise WeightsError(
            f"{path} does not say which network and classes it is for (a training run's"
            " weights.safetensors does): give model (such as regseg48) and labels (such as"
            " cityscapes, or a YAML file)"
        )
    return ModelCard(model, labels, normalization=normalization_of(model)), path


def build_model(card: ModelCard, path: str | Path) -> SegmentationNetwork:
    """The network of a card with the weights of a file, float32, ready for inference.

    Its normalisation layers are folded into its convolutions, and the card's temperature into its
    classifier. Raises WeightsError, also for weights that were trained on inputs normalised in
    another way than the network's.
    """
    model = create_model(card.architecture, len(card.labels))
    if model.normalization != card.normalization:
        raise WeightsError(
            f"{path}: weights for inputs normalised with {card.normalization.to_dict()};"
            f" {card.architecture} takes {model.normalization.to_dict()}"
        )
    load_weights(model, path)
    model.drop_training_heads()
    fold_norms(model.eval())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in model.classifier_names:
                parameter.div_(card.temperature)
    return model
