"""`python -m regseg_core.train`: trains a network on labelled images."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import time
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar, WeightAveraging
from lightning.pytorch.loggers import CSVLogger

from regseg_core.data.camvid import CamVid, DataError
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.device import (
    choose_device,
    device_title,
    has_fast_bfloat16,
    keep_freed_memory,
)
from regseg_core.labels import LabelError, LabelSet
from regseg_core.media import MediaError
from regseg_core.model import create_model
from regseg_core.training.loaders import training_loader, validation_loader
from regseg_core.training.recipe import Recipe
from regseg_core.training.report import plot_curves
from regseg_core.training.task import SegmentationTask, ema_step
from regseg_core.weights import ModelCard, load_weights, save_weights


def train(
    recipe: Recipe, data: Path, labels: LabelSet, out: Path, workers: int = 2, resume: bool = False
) -> Path:
    """Trains on split `train`, chooses the best epoch on `val`; returns the weights' path.

    Writes to `out`: `last.ckpt` and `best.ckpt`, `metrics.csv`, `curves.png`, and
    `weights.safetensors` with its card. Raises DataError, LabelError and MediaError.
    """
    train_set, val_set = CamVid(data, "train", labels), CamVid(data, "val", labels)
    L.seed_everything(recipe.seed, workers=True, verbose=False)
    out.mkdir(parents=True, exist_ok=True)
    best = ModelCheckpoint(
        out, "best", monitor="val_miou", mode="max", enable_version_counter=False
    )
    last = ModelCheckpoint(out, "last", every_n_epochs=1, enable_version_counter=False)
    device = choose_device("auto")
    mixed = "16-mixed" if device.type == "cuda" else "bf16-mixed" if has_fast_bfloat16() else 32
    trainer = L.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=mixed,  # type: ignore[arg-type]
        max_epochs=recipe.epochs,
        check_val_every_n_epoch=min(recipe.validate_every, recipe.epochs),
        num_sanity_val_steps=0,
        callbacks=[
            WeightAveraging(multi_avg_fn=partial(ema_step, recipe.ema_decay)),
            best,
            last,
            TQDMProgressBar(refresh_rate=5),
        ],
        logger=CSVLogger(out, name=None, version=""),
        log_every_n_steps=10,
        enable_model_summary=False,
    )
    validation = [validation_loader(val_set, workers)]
    if recipe.synthetic:
        validation.append(validation_loader(SyntheticStreets(20, first_seed=10**6), workers=0))
    started = time.monotonic()
    trainer.fit(
        SegmentationTask(recipe, labels),
        training_loader(train_set, len(train_set), recipe, workers),
        validation,
        ckpt_path=out / "last.ckpt" if resume else None,
        weights_only=True,
    )
    network = create_model(recipe.model, len(labels))
    load_weights(network, best.best_model_path)
    card = ModelCard(
        recipe.model,
        labels,
        {
            "training": {
                "command": shlex.join(["python", "-m", "regseg_core.train", *sys.argv[1:]]),
                "recipe": asdict(recipe),
                "images": len(train_set),
                "hardware": device_title(device),
                "minutes": round((time.monotonic() - started) / 60, 1),
            },
            "scores": {"val_miou_while_training": round(float(best.best_model_score or 0), 2)},
        },
    )
    save_weights(out / "weights.safetensors", network, card)
    plot_curves(out / "metrics.csv", out / "curves.png")
    return out / "weights.safetensors"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m regseg_core.train",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of train/, trainannot/, val/, valannot/"
    )
    parser.add_argument("--labels", default="camvid", help="built-in label set or YAML file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/last.ckpt")
    for entry in fields(Recipe):
        flag = f"--{entry.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(entry.default), default=entry.default)
    options = vars(parser.parse_args(arguments))
    recipe = Recipe(**{entry.name: options.pop(entry.name) for entry in fields(Recipe)})
    torch.set_float32_matmul_precision("high")
    keep_freed_memory()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    try:
        options["labels"] = LabelSet.load(options["labels"])
        weights = train(recipe, **options)
    except (DataError, LabelError, MediaError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    print(f"wrote {weights}")


if __name__ == "__main__":
    main()
