"""What carries over to a drive that was never trained on: each of CamVid's left out in turn.

    export PYTHONPATH=.
    python scripts/leave_drives_out.py --data ../shared/camvid --out runs/drives --trial base \\
        --epochs 40
    python scripts/leave_drives_out.py --data ../shared/camvid --out runs/drives --trial slower \\
        --after base --epochs 12 --with='--optimizer.lr 0.0005'

A training on all other drives for each drive and seed, scored on the drive by itself, its last
epoch. A trial is a name and what it changes of the recipe; with --after it goes on from another
trial's weights of the same drive and seed. What is trained is kept: a stopped run goes on with the
same command, and trials of the same --out stand in one table. Several may run at once, each with
its own --drives or --seeds. Writes `drives.md`, `drives.json` and `drives.png` into --out.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from regseg_core.benchmark.accuracy import keep_recipe, shrunk
from regseg_core.cli import at_least, command_parser, errors_in_one_line
from regseg_core.data.labelled import refuse_unpaired
from regseg_core.data.layouts import open_images
from regseg_core.data.opening import open_split
from regseg_core.errors import ArgumentError
from regseg_core.evaluation.scoring import SingleView, evaluate
from regseg_core.figures import save_figure
from regseg_core.files import write_bytes
from regseg_core.segmenter import Segmenter
from regseg_core.training.command import parse
from regseg_core.training.config import AugmentConfig, TrainingConfig
from regseg_core.training.run import train

#: Images and label images of a split, in CamVid's layout.
_FOLDERS = ("", "annot")


class Trial:
    """A recipe, trained once for each drive and seed.

    `after`: the trial whose weights it starts from, or None. `scale`: of the images.
    """

    def __init__(
        self, out: Path, name: str, config: TrainingConfig, after: str | None, scale: float
    ) -> None:
        self._out, self._name, self._config = out, name, config
        self._after, self._scale = after, scale
        keep_recipe(out / name, {"after": after, "scale": scale, **asdict(config)})

    def run(
        self, drives: Mapping[str, Sequence[Path]], left_out: Sequence[str], seeds: Sequence[int]
    ) -> None:
        """Trains and scores what is missing. Raises what `train` does."""
        for seed in seeds:
            for drive in left_out:
                path = self._out / self._name / f"{drive}-{seed}.json"
                if not path.exists():
                    found = {"trial": self._name, "drive": drive, "seed": seed}
                    found |= self._result(drive, seed, drives)
                    write_bytes(path, (json.dumps(found, indent=1) + "\n").encode())

    def _result(
        self, drive: str, seed: int, drives: Mapping[str, Sequence[Path]]
    ) -> dict[str, Any]:
        out = self._out / self._name / f"{drive}-{seed}"
        weights, data = out / "weights.safetensors", _set_aside(drive, drives, self._out)
        if self._scale != 1:
            small = data.with_name(f"{drive} at {self._scale:g}")
            data = shrunk(str(data), self._scale, small, self._config)
        if not weights.exists():
            config = replace(self._config, seed=seed)
            if self._after is not None:
                first = self._out / self._after / f"{drive}-{seed}" / "weights.safetensors"
                config = replace(config, start_from=str(first))
            train(config, str(data), out, (out / "config.yaml").exists())
        segment = Segmenter(weights, backend="eager", precision="float32")
        scores = evaluate(SingleView(segment), open_split(data, "val"), segment.labels)
        card = json.loads(weights.with_suffix(".json").read_text())
        off = card["scores"]["val_calibration_error"]
        return {**scores, "temperature": card.get("temperature", 1.0), "calibration_error": off}


def find_drives(data: Path) -> dict[str, list[Path]]:
    """The images of each drive, of train and of val, by the name before the underscore."""
    found: dict[str, list[Path]] = {}
    for split in ("train", "val"):
        images = open_images(data, split)
        refuse_unpaired(images)
        for path, _ in images.pairs:
            found.setdefault(path.stem.partition("_")[0], []).append(path)
    if len(found) < 2:
        raise ArgumentError(f"{data} has one drive alone, {', '.join(found)}")
    return dict(sorted(found.items()))


def _set_aside(drive: str, drives: Mapping[str, Sequence[Path]], out: Path) -> Path:
    """A data set of links: val is that drive, train all others."""
    folder = out / "sets" / drive
    for name, images in drives.items():
        split = "val" if name == drive else "train"
        for image in images:
            for kind in _FOLDERS:
                there = image.parent.with_name(image.parent.name + kind)
                target = next(there.glob(f"{image.stem}.*"))
                link = folder / f"{split}{kind}" / target.name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink():
                    link.symlink_to(target.resolve())
    return folder


def scaled(augment: AugmentConfig, factor: float) -> AugmentConfig:
    """Crops and sizes for images that are smaller by that factor."""
    return replace(
        augment,
        crop_height=round(augment.crop_height * factor),
        crop_width=round(augment.crop_width * factor),
        short_side_min=round(augment.short_side_min * factor),
        short_side_max=round(augment.short_side_max * factor),
    )


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, a line a trial: mIoU of each drive, their mean, its spread over seeds, classes."""
    drives = sorted({result["drive"] for result in results})
    classes = list(results[0]["iou"])
    head = ["trial", *drives, "mean", "seeds", *classes, "temperature"]
    lines = [head, ["---"] * len(head)]
    for trial, means in _means(results).items():
        mine = [result for result in results if result["trial"] == trial]
        cells = [trial]
        for drive in drives:
            known = [result["mean_iou"] for result in mine if result["drive"] == drive]
            cells.append(f"{statistics.mean(known):.1f}" if known else "")
        cells.append(f"{statistics.mean(means):.1f}" if means else "")
        cells.append(" ".join(f"{mean:.1f}" for mean in means))
        for name in classes:
            known = [result["iou"][name] for result in mine if result["iou"][name] is not None]
            cells.append(f"{statistics.mean(known):.0f}" if known else "")
        logs = [math.log(result["temperature"]) for result in mine]
        cells.append(f"{math.exp(statistics.mean(logs)):.2f}")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _means(results: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """By trial: the mean over all drives of each seed that has them all."""
    count = len({result["drive"] for result in results})
    found: dict[str, list[float]] = {}
    for trial in dict.fromkeys(result["trial"] for result in results):
        mine = [result for result in results if result["trial"] == trial]
        seeds = sorted({result["seed"] for result in mine})
        values = [[r["mean_iou"] for r in mine if r["seed"] == seed] for seed in seeds]
        found[trial] = [statistics.mean(known) for known in values if len(known) == count]
    return found


def plot(results: Sequence[Mapping[str, Any]]) -> Figure:
    """A dot for each drive and seed, a line for the mean of the seeds."""
    means = _means(results)
    figure = Figure(figsize=(8, 0.5 * len(means) + 1.6), layout="constrained")
    axes = figure.subplots()
    for drive in sorted({result["drive"] for result in results}):
        mine = [result for result in results if result["drive"] == drive]
        rows = [list(means).index(result["trial"]) for result in mine]
        axes.plot([result["mean_iou"] for result in mine], rows, "o", alpha=0.7, label=drive)
    for row, values in enumerate(means.values()):
        if values:
            axes.plot(statistics.mean(values), row, "|", color="black", markersize=18)
    axes.set_yticks(range(len(means)), list(means))
    axes.invert_yaxis()
    axes.set(xlabel="mIoU on the drive that was left out, %; a line: the mean")
    axes.legend()
    axes.grid(axis="x", alpha=0.3)
    return figure


def main() -> None:
    parser = command_parser("drives", __doc__)
    parser.prog = "python scripts/leave_drives_out.py"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="CamVid at 480 x 360")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is kept")
    parser.add_argument("--trial", default="base", help="what the recipe is called")
    recipe = Path("config/train/camvid480.yaml")
    parser.add_argument("--config", type=Path, default=recipe, help="of every training")
    parser.add_argument("--with", dest="changes", default="", help="options of the trainer")
    parser.add_argument("--epochs", type=at_least(1), default=80)
    parser.add_argument("--drives", nargs="+", help="to leave out in turn; default: each")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=[0, 1])
    parser.add_argument("--after", help="trial to go on from, of the same seeds; else from scratch")
    parser.add_argument(
        "--scale", type=float, default=1, help="of images, and of the recipe's crops and sizes"
    )
    options = parser.parse_args()
    with errors_in_one_line(options.debug):
        given = ["--config", str(options.config), "--data", str(options.data)]
        config = parse("drives", None, [*given, *shlex.split(options.changes)]).config
        # Scored once, at the end: the best of many looks would flatter.
        config = replace(config, epochs=options.epochs, validate_every=options.epochs)
        if not 0 < options.scale <= 1:
            raise ArgumentError(f"--scale {options.scale:g} must be above 0 and at most 1")
        config = replace(config, augment=scaled(config.augment, options.scale))
        drives = find_drives(options.data)
        left_out = options.drives or list(drives)
        if unknown := set(left_out) - set(drives):
            raise ArgumentError(f"there is no drive {', '.join(unknown)}; has {', '.join(drives)}")
        trial = Trial(options.out, options.trial, config, options.after, options.scale)
        trial.run(drives, left_out, options.seeds)
        results = [json.loads(path.read_text()) for path in sorted(options.out.glob("*/*.json"))]
        text = table(results)
        print(text)
        write_bytes(options.out / "drives.md", f"{text}\n".encode())
        write_bytes(options.out / "drives.json", (json.dumps(results, indent=1) + "\n").encode())
        save_figure(options.out / "drives.png", plot(results))


if __name__ == "__main__":
    main()
