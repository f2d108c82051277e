"""What each network scores after a short training: the same recipe, the same minutes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from tqdm import tqdm

from regseg_core.benchmark.training_steps import step_seconds
from regseg_core.data.labelled import refuse_unpaired
from regseg_core.data.opening import open_split
from regseg_core.data.synthetic import STREET
from regseg_core.errors import ArgumentError
from regseg_core.files import write_bytes
from regseg_core.labels import IGNORE_INDEX, LabelSet
from regseg_core.media import write_image
from regseg_core.training.command import parse
from regseg_core.training.config import TrainingConfig
from regseg_core.training.loaders import SegmentationData
from regseg_core.training.run import dump_config, train
from regseg_core.weights import read_card

#: Validations of a run, about.
_LOOKS = 5


class Training:
    """One recipe for all networks: each trains from scratch for the same minutes.

    `config`: a training configuration in YAML; None for the trainer's own. `scale`: the data are
    shrunk by it first. Runs are kept in `out/runs/<network>`: one that was interrupted goes on, one
    that is done is read; a folder of trainings by another recipe is refused. Raises ArgumentError,
    also for a recipe that does not start from scratch, and what opening the data does.
    """

    def __init__(
        self, data: str, config: Path | None, minutes: float, scale: float, out: Path
    ) -> None:
        if minutes <= 0 or not 0 < scale <= 1:
            raise ArgumentError(f"minutes {minutes:g} must be above 0, scale {scale:g} at most 1")
        given = [] if config is None else ["--config", str(config)]
        self._config = parse("benchmark networks", None, [*given, "--data", data]).config
        if self._config.trains_on_val:
            raise ArgumentError("networks are compared on a split that none of them trains on")
        if self._config.start_from is not None:
            raise ArgumentError(
                f"networks are compared from scratch, and {config} starts from"
                f" {self._config.start_from}: give a recipe with start_from null"
            )
        if data == STREET and scale != 1:
            raise ArgumentError("the synthetic street has one size: give scale 1")
        self._minutes, self._out = minutes, out / "runs"
        asked = {"data": data, "scale": scale, "minutes": minutes, **asdict(self._config)}
        keep_recipe(self._out, asked)
        small = self._out / "data"
        self._data = data if scale == 1 else str(shrunk(data, scale, small, self._config))
        # What no network can be trained on is refused here, before any is measured.
        opened = SegmentationData(self._data, self._config, self._out)
        self._steps, self._labels = opened.steps, opened.labels

    def time(self, name: str) -> float:
        """Seconds of an epoch of a network: of its steps, forward, backward and update.

        Loading and scoring come on top. Measured once, and kept in `out/runs/seconds.yaml`: if all
        are timed before the first one trains, what the machine does later changes nobody's epochs.
        Raises ValueError or RuntimeError where it cannot train.
        """
        note = self._out / "seconds.yaml"
        known: dict[str, float] = yaml.safe_load(note.read_text()) if note.exists() else {}
        if name not in known:
            a_step = step_seconds(replace(self._config, model=name), self._labels)
            known[name] = float(f"{self._steps * a_step:.3g}")
            write_bytes(note, yaml.safe_dump(known).encode())
        return known[name]

    def score(self, name: str) -> tuple[float, int]:
        """Best mean IoU on the val split in percent, and epochs.

        So many that the schedule of the learning rate ends with the minutes. Raises what `train`
        does.
        """
        fitting = 60 * self._minutes / self.time(name)
        every = max(1, int(fitting / _LOOKS))
        # A multiple: the last epoch, at the lowest learning rate, is scored too.
        epochs = every * max(1, round(fitting / every))
        out = self._out / name
        weights = out / "weights.safetensors"
        if not weights.exists():
            config = replace(self._config, model=name, epochs=epochs, validate_every=every)
            train(config, self._data, out, resume=(out / "config.yaml").exists())
        card = read_card(weights)
        assert card is not None
        return float(card.about["scores"]["val_miou_while_training"]), epochs


def keep_recipe(folder: Path, asked: dict[str, Any]) -> None:
    """Notes what all trainings in a folder are made by. Raises ArgumentError for another recipe."""
    note, text = folder / "asked.yaml", dump_config(asked)
    if note.exists() and note.read_text() != text:
        raise ArgumentError(
            f"{folder} holds trainings of another recipe, that of {note}; give another folder"
        )
    write_bytes(note, text.encode())


def shrunk(data: str, factor: float, out: Path, config: TrainingConfig) -> Path:
    """A copy of the splits that a configuration names, images and labels smaller by that factor.

    In CamVid's layout, with a labels.yaml whose ids are the classes' indices; one that is there is
    taken as it is. Raises what opening the data does, and FileError.
    """
    chosen = None if config.dataset.labels is None else LabelSet.load(config.dataset.labels)
    done = out / "done"
    if done.exists():
        return out
    labels = chosen or open_split(data, config.dataset.val).labels
    classes = [
        {"id": index, "name": entry.name, "color": list(entry.color)}
        for index, entry in enumerate(labels.classes)
    ]
    described = {"ignore_id": IGNORE_INDEX, "classes": classes}
    write_bytes(out / "labels.yaml", yaml.safe_dump(described).encode())
    for split in dict.fromkeys((*config.dataset.train, config.dataset.val)):
        images = open_split(data, split, labels)
        refuse_unpaired(images)
        for index in tqdm(range(len(images)), desc=f"shrinking {split}"):
            image, label = images[index]
            size = round(image.shape[1] * factor), round(image.shape[0] * factor)
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            exact = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
            for folder, picture in ((split, small), (f"{split}annot", exact)):
                write_image(out / folder / f"{index:05}.png", picture.astype(np.uint8))
    done.touch()
    return out
