"""What each network scores after a short training: the same recipe, the same minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from regseg_core.benchmark.training_steps import step_seconds
from regseg_core.data.opening import open_split
from regseg_core.labels import LabelSet
from regseg_core.media import write_image
from regseg_core.training.command import parse
from regseg_core.training.config import TrainingConfig
from regseg_core.training.loaders import SegmentationData
from regseg_core.training.run import read_config, train
from regseg_core.weights import read_card

#: Validations of a run.
_LOOKS = 5


class Training:
    """One recipe for all networks: each trains from scratch for the same minutes.

    `config`: a training configuration in YAML; None for the trainer's own. `scale`: the data are
    shrunk by it first. Runs are kept in `out/runs/<network>`: one that was interrupted goes on, one
    that is done is read.
    """

    def __init__(
        self, data: str, config: Path | None, minutes: float, scale: float, out: Path
    ) -> None:
        given = [] if config is None else ["--config", str(config)]
        self._config = parse("benchmark networks", None, [*given, "--data", data]).config
        self._minutes, self._out = minutes, out / "runs"
        small = self._out / "data"
        self._data = data if scale == 1 else str(shrunk(data, scale, small, self._config))

    def score(self, name: str) -> tuple[float, int]:
        """Best mean IoU on the val split in percent, and epochs.

        The minutes are those of the steps, forward, backward and update, measured before; loading
        and scoring come on top. They decide on the number of epochs, so that the schedule of the
        learning rate ends with them. Raises what `train` does.
        """
        config, out = replace(self._config, model=name), self._out / name
        resume = (out / "config.yaml").exists()
        if resume:
            epochs = int(read_config(out)["epochs"])
        else:
            module = SegmentationData(self._data, config, out)
            an_epoch = module.steps * step_seconds(config, module.labels)
            epochs = max(1, round(60 * self._minutes / an_epoch))
        weights = out / "weights.safetensors"
        if not weights.exists():
            looks = max(1, epochs // _LOOKS)
            config = replace(config, epochs=epochs, validate_every=looks)
            train(config, self._data, out, resume)
        card = read_card(weights)
        assert card is not None
        return float(card.about["scores"]["val_miou_while_training"]), epochs


def shrunk(data: str, factor: float, out: Path, config: TrainingConfig) -> Path:
    """A copy of the splits that a configuration names, images and labels smaller by that factor.

    In the layout of a folder whose label images hold the classes' indices; one that is there is
    taken as it is. Raises what opening the data does, and FileError.
    """
    chosen = None if config.dataset.labels is None else LabelSet.load(config.dataset.labels)
    done = out / "done"
    if done.exists():
        return out
    for split in dict.fromkeys((*config.dataset.train, config.dataset.val)):
        images = open_split(data, split, chosen)
        for index in tqdm(range(len(images)), desc=f"shrinking {split}"):
            image, label = images[index]
            size = round(image.shape[1] * factor), round(image.shape[0] * factor)
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            exact = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
            for folder, picture in ((split, small), (f"{split}annot", exact)):
                write_image(out / folder / f"{index:05}.png", picture.astype(np.uint8))
    done.touch()
    return out
