"""One training run: its folder, its checkpoints, and the weights that come out."""

from __future__ import annotations

import logging
import os
import time
import warnings
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from regseg_core import zoo
from regseg_core.device import choose_device, device_title, keep_freed_memory
from regseg_core.errors import RegSegError
from regseg_core.evaluation.reliability import reliability
from regseg_core.files import check_folder, clear_partial, write_bytes
from regseg_core.labels import LabelSet
from regseg_core.model import create_model
from regseg_core.precision import choose_precision
from regseg_core.segmenter import Segmenter
from regseg_core.tensor_files import read_tensors
from regseg_core.training.checkpoints import AtomicCheckpoints, BestCheckpoint
from regseg_core.training.config import TrainingConfig
from regseg_core.training.distributed import SyncNormsOnCpu
from regseg_core.training.loaders import SegmentationData
from regseg_core.training.progress import TrainingBar
from regseg_core.training.report import write_report
from regseg_core.training.start import LICENCE, in_modules, licence_of, start_from
from regseg_core.training.task import SegmentationTask, ema_step
from regseg_core.weights import ModelCard, load_weights, save_weights

#: Below so many steps a network from scratch has hardly begun to learn.
FEW_STEPS = 500

#: How PyTorch begins the message of an error that a loader process has sent.
_CAUGHT = "Caught "

#: What may change between two sittings of one run.
_MAY_CHANGE = frozenset({"epochs", "validate_every", "dataset.workers", "optimizer.clip_norm"})


class RunError(RegSegError, ValueError):
    """A run's folder that cannot be used as asked."""


_PRECISIONS = {"float32": "32-true", "float16": "16-mixed", "bfloat16": "bf16-mixed"}


def train(
    config: TrainingConfig, data: str, out: Path, resume: bool = False, command: str = ""
) -> Path:
    """Trains a network as `config` says; returns the weights' path.

    `data` is a folder in any layout of `regseg_core.data.layouts`, or `street`. Writes to `out`:
    `config.yaml`, `last.ckpt` after each epoch and `best.ckpt`, `metrics/` (CSV) and
    `tensorboard/`, and `weights.safetensors` with their card: of the best epoch on the val split,
    or of the last where that split is trained on; at the end pictures into `report/`. Where val is
    not trained on, the card has the temperature that makes confidence on it what it says. A licence
    of the weights that it starts from goes into that card. `resume` goes on from `last.ckpt`, or
    begins where no epoch had ended.

    Raises FileError, before anything else, where `out` cannot be written, DataError for data that
    do not fit, FileExistsError for a run that would be overwritten, RunError for one that cannot be
    resumed like this, DivergedError for a loss that is no number, and what `start_from` and
    `save_weights` raise.
    """
    check_folder(out)
    _quiet()
    keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    L.seed_everything(config.seed, workers=True, verbose=False)
    module = SegmentationData(data, config, out)
    checkpoint, weights = out / "last.ckpt", out / "weights.safetensors"
    if resume:
        resume = _can_resume(out, {"data": data, **asdict(config)}, module.labels)
    elif checkpoint.exists():
        raise FileExistsError(f"{out} holds a run; give --resume to go on, or another --out")
    task = SegmentationTask(config, module.labels, module.steps * config.epochs)
    source = checkpoint if resume else None
    if config.start_from is not None and not resume:
        source = zoo.find(config.start_from)
        fresh = in_modules(task.network, start_from(task.network, source))
        _say(f"starting from {config.start_from}" + (f", fresh: {', '.join(fresh)}" * bool(fresh)))
    if source is not None and (licence := licence_of(source)):
        task.hparams[LICENCE] = licence  # in the checkpoint, for who resumes it or starts from it
        _say(f"the licence of the first weights goes into the card of the new ones: {licence}")
    best, trainer = _trainer(config, out, choose_device("auto"))
    if trainer.is_global_zero:
        clear_partial(out)
        run = {"data": data, **asdict(config)}
        write_bytes(out / "config.yaml", dump_config(run).encode())
    _announce(module, config, trainer)
    started = time.monotonic()
    try:
        trainer.fit(task, module, ckpt_path=checkpoint if resume else None, weights_only=True)
    except RegSegError as error:
        if str(error).startswith(_CAUGHT):
            raise type(error)(_without_traceback(str(error))) from error
        raise
    if trainer.is_global_zero:
        seconds = time.monotonic() - started
        _save(config, module, out, best, {"command": command, "seconds": seconds})
    trainer.strategy.barrier()
    if trainer.is_global_zero:  # the others need not wait for pictures
        write_report(out, Segmenter(weights, backend="eager"), data, config.dataset.val)
    return weights


def dump_config(config: dict[str, Any]) -> str:
    """A configuration as the YAML that `--config` reads."""
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in _flat(config).items()}
    nested: dict[str, Any] = {}
    for key, value in plain.items():
        group, _, name = key.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[name] = value
    return yaml.safe_dump(nested, sort_keys=False)


def read_config(run: Path) -> dict[str, Any]:
    """The configuration of a run. Raises FileNotFoundError, and RunError for another file."""
    path = run / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not a configuration: {error}") from error
    if not isinstance(config, dict) or not {"data", "dataset"} <= set(config):
        raise RunError(f"{path} is not the configuration of a run")
    return config


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{name}": inner for name, inner in value.items()})
        else:
            flat[key] = value
    return flat


def _trainer(
    config: TrainingConfig, out: Path, device: torch.device
) -> tuple[ModelCheckpoint, L.Trainer]:
    best = BestCheckpoint(out, "val_miou")
    last = ModelCheckpoint(
        out, "last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
    )
    callbacks: list[Callback] = [best, last, TrainingBar(config.batch_size)]
    if config.optimizer.ema_decay:
        # Told where, since the module is still on the CPU when the callback asks it.
        average_on = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device.type == "cuda" else "cpu"
        average = WeightAveraging(
            device=average_on, multi_avg_fn=partial(ema_step, config.optimizer.ema_decay)
        )
        callbacks.insert(0, average)
    # torchrun's; without it there is one process.
    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    plugins: list[Any] = [AtomicCheckpoints()]
    if world > 1 and device.type == "cpu":
        plugins.append(SyncNormsOnCpu())
    trainer = L.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=local,
        num_nodes=world // local,
        strategy=DDPStrategy() if world > 1 else "auto",
        sync_batchnorm=world > 1 and device.type != "cpu",
        precision=_PRECISIONS[choose_precision(config.precision, device)],  # type: ignore[arg-type]
        max_epochs=config.epochs,
        check_val_every_n_epoch=min(config.validate_every, config.epochs),
        num_sanity_val_steps=0,
        gradient_clip_val=config.optimizer.clip_norm,
        callbacks=callbacks,
        plugins=plugins,
        # A resumed run gets the next version_N beside the first one's.
        logger=[CSVLogger(out, name="metrics"), TensorBoardLogger(out, name="tensorboard")],
        # A GPU is waited for when its numbers are written down.
        log_every_n_steps=20 if device.type == "cuda" else 1,
        enable_model_summary=False,
        use_distributed_sampler=False,  # ours divide the data
        # On a GPU bilinear upsampling has no deterministic way that is quick.
        deterministic=device.type == "cpu",
    )
    return best, trainer


def _announce(module: SegmentationData, config: TrainingConfig, trainer: L.Trainer) -> None:
    device = trainer.strategy.root_device
    splits = " + ".join(config.dataset.train)
    street = f" and {module.street} synthetic ones" if module.street else ""
    _say(
        f"training {config.model} on {module.images} images ({splits}){street},"
        f" scored on {len(module.val_set)} ({config.dataset.val});"
        f" {len(module.labels)} classes: {', '.join(module.labels.names)}\n"
        f"{config.epochs} epochs of {module.steps} steps in {trainer.world_size} process(es) on"
        f" {device} ({device_title(device)})"
    )
    if (steps := module.steps * config.epochs) < FEW_STEPS:
        _say(f"note: {steps} steps are few; more --epochs, or --start_from, give better weights")


def _save(
    config: TrainingConfig,
    module: SegmentationData,
    out: Path,
    best: ModelCheckpoint,
    sitting: dict[str, Any],
) -> None:
    chosen = out / ("last.ckpt" if config.trains_on_val else "best.ckpt")
    network = create_model(config.model, len(module.labels))
    load_weights(network, chosen)
    saved = read_tensors(chosen)
    epoch = saved["epoch"] + 1
    scores: dict[str, Any] = {}
    temperature = 1.0
    if config.trains_on_val:
        _say(f"keeping epoch {epoch}, the last: {config.dataset.val} is trained on")
    else:
        scores["val_miou_while_training"] = round(float(best.best_model_score or 0), 2)
        miou = scores["val_miou_while_training"]
        _say(f"best on {config.dataset.val}: epoch {epoch} of {config.epochs}, mIoU {miou}")
        found = reliability(network.eval().to(choose_device("auto")), module.val_set)
        temperature = found.temperature
        before, after = (round(100 * found.error(t), 2) for t in (1.0, temperature))
        scores["val_calibration_error"] = {"as_trained": before, "with_temperature": after}
        _say(f"{found.title}, which the card has")
    training = {
        "command": sitting["command"],
        "config": asdict(config),
        "images": module.images,
        "epoch": epoch,
        "hardware": device_title(choose_device("auto")),
        "minutes_of_last_sitting": round(sitting["seconds"] / 60, 1),
    }
    about = {"training": training, "scores": scores}
    if licence := saved["hyper_parameters"].get(LICENCE):
        about[LICENCE] = licence
    card = ModelCard(config.model, module.labels, about, temperature=temperature)
    save_weights(out / "weights.safetensors", network, card)


def _without_traceback(message: str) -> str:
    """What is wrong, from an error that a loader process has sent along with its traceback."""
    return message.strip().splitlines()[-1].partition(": ")[2]


def _can_resume(out: Path, config: dict[str, Any], labels: LabelSet) -> bool:
    """False for a run whose first epoch had not ended. Raises where there is none, or another."""
    checkpoint = out / "last.ckpt"
    if not checkpoint.exists():
        if (out / "config.yaml").exists():
            _say("no epoch had ended: from the beginning")
            return False
        raise FileNotFoundError(f"there is no {checkpoint} to resume from")
    saved = read_tensors(checkpoint)
    # A field that the run did not know yet has had its default.
    defaults = yaml.safe_load(dump_config(asdict(TrainingConfig())))
    was = _flat(defaults) | _flat(read_config(out))
    now = _flat(yaml.safe_load(dump_config(config)))
    changed = [key for key in now if now[key] != was[key] and key not in _MAY_CHANGE]
    if changed:
        listed = "; ".join(f"{key} was {was[key]!r}, is {now[key]!r}" for key in changed)
        raise RunError(
            f"{out} is another run: {listed}; give --config {out / 'config.yaml'} --out {out}, or"
            " another --out"
        )
    if saved["hyper_parameters"]["classes"] != list(labels.names):
        classes = ", ".join(saved["hyper_parameters"]["classes"])
        raise RunError(f"{checkpoint} is a run of classes {classes}; give another --out")
    weights = out / "weights.safetensors"
    # Else it was stopped after its last epoch, before they were written.
    written = weights.exists() and weights.stat().st_mtime >= checkpoint.stat().st_mtime
    if written and saved["epoch"] + 1 >= config["epochs"]:
        raise RunError(f"{checkpoint} has had its {saved['epoch'] + 1} epochs; give more --epochs")
    return True


@rank_zero_only
def _say(text: str) -> None:
    print(text, flush=True)


def _quiet() -> None:
    """Silences Lightning's messages about itself."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (".*exists and is not empty", ".*treespec, LeafSpec", ".*does not have many"):
        warnings.filterwarnings("ignore", message)
