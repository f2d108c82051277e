"""`python -m regseg_core.train`: trains a network on labelled images."""

from __future__ import annotations

import logging
import shlex
import sys
import time
import warnings
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import torch

try:
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar, WeightAveraging
    from lightning.pytorch.loggers import CSVLogger
except ImportError as error:
    raise ImportError(
        f"training needs the extra `train`: pip install '.[train]' ({error})"
    ) from error

from regseg_core import zoo
from regseg_core.cli import command_parser, errors_in_one_line
from regseg_core.data.camvid import CamVid, DataError
from regseg_core.data.synthetic import HELD_OUT_SEED, SyntheticStreets
from regseg_core.device import (
    choose_device,
    device_title,
    has_fast_bfloat16,
    keep_freed_memory,
)
from regseg_core.labels import CAMVID, LabelSet
from regseg_core.model import create_model
from regseg_core.training.config import TrainingConfig
from regseg_core.training.loaders import training_loader, validation_loader
from regseg_core.training.report import plot_curves
from regseg_core.training.task import SegmentationTask, ema_step
from regseg_core.weights import ModelCard, load_weights, read_tensors, save_weights

#: Below so many steps a network from scratch has hardly begun to learn.
FEW_STEPS = 500


def train(
    config: TrainingConfig,
    data: Path,
    labels: LabelSet,
    out: Path,
    workers: int = 2,
    start_from: str | None = None,
    resume: bool = False,
) -> Path:
    """Trains on split `train`, chooses the best epoch on `val`; returns the weights' path.

    Writes to `out`: `last.ckpt` and `best.ckpt`, `metrics/`, `curves.png`, and
    `weights.safetensors`, those of the best epoch, with their card. `start_from` gives the first
    weights, shipped or a file, of whatever classes; `resume` goes on from `last.ckpt`.
    Raises DataError for data that do not fit, FileExistsError for a run that would be overwritten,
    ValueError for a run that cannot be resumed like this, and what `load_weights` and
    `save_weights` raise.
    """
    train_set, val_set = CamVid(data, "train", labels), CamVid(data, "val", labels)
    if len(train_set) + config.synthetic < config.batch_size:
        raise DataError(
            f"{len(train_set)} training images do not fill a batch of {config.batch_size};"
            " give a smaller --batch-size"
        )
    if config.synthetic and labels.names != CAMVID.names:
        raise DataError("the synthetic street is labelled with the classes of camvid")
    checkpoint = out / "last.ckpt"
    if resume:
        _check_resumable(checkpoint, config, labels)
    elif checkpoint.exists():
        raise FileExistsError(f"{out} holds a run; give --resume to go on, or another --out")
    for pairs in (train_set, val_set):
        pairs.check()

    L.seed_everything(config.seed, workers=True, verbose=False)
    task = SegmentationTask(config, labels)
    if start_from is not None:
        fresh = load_weights(task.network, zoo.find(start_from), strict_classes=False)
        print(f"starting from {start_from}" + (f", fresh: {', '.join(fresh)}" if fresh else ""))
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
        max_epochs=config.epochs,
        check_val_every_n_epoch=min(config.validate_every, config.epochs),
        num_sanity_val_steps=0,
        callbacks=[
            WeightAveraging(multi_avg_fn=partial(ema_step, config.ema_decay)),
            best,
            last,
            TQDMProgressBar(refresh_rate=5),
        ],
        # A resumed run gets the next version_N beside the first one's.
        logger=CSVLogger(out, name="metrics"),
        log_every_n_steps=1,
        enable_model_summary=False,
    )
    validation = [validation_loader(val_set, workers)]
    if config.synthetic:
        streets = SyntheticStreets(20, first_seed=HELD_OUT_SEED)
        validation.append(validation_loader(streets, workers=0))
    training = training_loader(train_set, len(train_set), config, workers)
    steps = len(training) * config.epochs
    print(
        f"training {config.model} on {len(train_set)} images ({len(val_set)} in val) of"
        f" {len(labels)} classes: {', '.join(labels.names)}\n"
        f"{config.epochs} epochs of {len(training)} steps on {device} ({device_title(device)})"
    )
    if steps < FEW_STEPS:
        print(f"note: {steps} steps are few; more --epochs, or --start-from, give better weights")
    started = time.monotonic()
    trainer.fit(
        task,
        training,
        validation,
        ckpt_path=checkpoint if resume else None,
        weights_only=True,
    )
    network = create_model(config.model, len(labels))
    load_weights(network, best.best_model_path)
    best_epoch = read_tensors(best.best_model_path)["epoch"] + 1
    best_score = round(float(best.best_model_score or 0), 2)
    print(f"best on val: epoch {best_epoch} of {config.epochs}, mIoU {best_score}")
    card = ModelCard(
        config.model,
        labels,
        {
            "training": {
                "command": shlex.join(["python", "-m", "regseg_core.train", *sys.argv[1:]]),
                "config": asdict(config),
                "images": len(train_set),
                "best_epoch": best_epoch,
                "hardware": device_title(device),
                "minutes_of_last_sitting": round((time.monotonic() - started) / 60, 1),
            },
            "scores": {"val_miou_while_training": best_score},
        },
    )
    save_weights(out / "weights.safetensors", network, card)
    plot_curves(sorted(out.glob("metrics/*/metrics.csv")), out / "curves.png")
    return out / "weights.safetensors"


def _check_resumable(checkpoint: Path, config: TrainingConfig, labels: LabelSet) -> None:
    if not checkpoint.exists():
        raise FileNotFoundError(f"there is no {checkpoint} to resume from")
    saved = read_tensors(checkpoint)
    was = saved["hyper_parameters"]
    if (was["model"], was["classes"]) != (config.model, list(labels.names)):
        raise ValueError(
            f"{checkpoint} is a run of {was['model']} with classes {', '.join(was['classes'])};"
            " resume it with these, or give another --out"
        )
    if saved["epoch"] + 1 >= config.epochs:
        raise ValueError(
            f"{checkpoint} has had its {saved['epoch'] + 1} epochs; give more --epochs"
        )


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("train", __doc__)
    layout = "folder of train/, trainannot/, val/ and valannot/"
    parser.add_argument("--data", type=Path, required=True, help=layout)
    parser.add_argument("--labels", default="camvid", help="built-in label set or YAML file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--start-from", help="first weights: shipped ones by name, or a file")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/last.ckpt")
    for entry in fields(TrainingConfig):
        flag, text = f"--{entry.name.replace('_', '-')}", entry.metadata["help"]
        parser.add_argument(flag, type=type(entry.default), default=entry.default, help=text)
    options = vars(parser.parse_args(arguments))
    settings = {entry.name: options.pop(entry.name) for entry in fields(TrainingConfig)}
    torch.set_float32_matmul_precision("high")
    keep_freed_memory()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (".*exists and is not empty", ".*treespec, LeafSpec"):
        warnings.filterwarnings("ignore", message)
    with errors_in_one_line():
        options["labels"] = LabelSet.load(options["labels"])
        weights = train(TrainingConfig(**settings), **options)
    print(f"wrote {weights}")


if __name__ == "__main__":
    main()
