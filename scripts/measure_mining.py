"""What labelling 40 mined frames is worth, against 40 random ones: trainings on CamVid.

    python scripts/measure_mining.py --data ../shared/camvid --out runs/mining [--epochs 100]

Of the train split so many images count as labelled, evenly spread. A network is trained on them;
with it the others are mined, by each measure. From its weights it is then trained again: on nothing
new, with as many frames at random, and with those that were mined; always for as many steps. The
last epoch is scored on val. What is trained is kept: a stopped run goes on with the same command,
and more --seeds add to what is there. Writes `mining.md` and `mining.png` into --out.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from regseg_core.benchmark.accuracy import keep_recipe, shrunk
from regseg_core.cli import at_least, command_parser, errors_in_one_line
from regseg_core.data.layouts import open_images
from regseg_core.data.opening import open_split
from regseg_core.errors import ArgumentError
from regseg_core.evaluation.scoring import SingleView, evaluate
from regseg_core.figures import save_figure
from regseg_core.files import write_bytes
from regseg_core.frame import Frame
from regseg_core.mining.candidate import Candidate
from regseg_core.mining.choosing import choose
from regseg_core.mining.likeness import MIN_DISTANCE
from regseg_core.mining.report import summary, write_why
from regseg_core.mining.scoring import score
from regseg_core.mining.uncertainty import UNCERTAINTIES
from regseg_core.segmenter import Segmenter
from regseg_core.training.command import parse
from regseg_core.training.run import train

START, NOTHING, RANDOM = "start", "nothing", "random"

#: CamVid's films have 30 frames a second, and its files their numbers: 0006R0_f00930.
_RATE, _NAME = 30, re.compile(r"(\w+)_f?(\d+)$")


class Experiment:
    """All trainings of one setting, and what came of them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.out: Path = options.out
        self.seeds: int = options.seeds
        self._added: int = options.added
        self._min_distance: float = options.min_distance
        given = ["--config", str(options.config), "--data", str(options.data)]
        self.config = replace(parse("mining", None, given).config, epochs=options.epochs)
        asked = {key: str(getattr(options, key)) for key in _RECIPE}
        keep_recipe(self.out, {**asked, **asdict(self.config)})
        self._data = shrunk(str(options.data), options.scale, self.out / "data", self.config)
        titles = open_images(options.data, "train")
        self._names = [Path(titles.title(index)).stem for index in range(len(titles))]
        if options.labelled + self._added > len(self._names):
            raise ArgumentError(
                f"there are {len(self._names)} images, fewer than --labelled and --added together"
            )
        places = np.linspace(0, len(self._names) - 1, options.labelled)
        self._labelled = places.round().astype(int).tolist()
        # Every training has the steps of the largest set's epochs.
        self._steps = options.epochs * self._steps_of(options.labelled + self._added)

    def run(self) -> dict[str, list[dict[str, Any]]]:
        """Scores by what was added: one entry a seed. Raises what `train` does."""
        self._result(START, 0, self._labelled)
        rows: dict[str, Callable[[int], list[int]]] = {NOTHING: lambda seed: [], RANDOM: self._any}
        for by in UNCERTAINTIES:
            mined = self._mined(by)
            rows[by] = lambda seed, mined=mined: mined  # type: ignore[misc]
        found: dict[str, list[dict[str, Any]]] = {row: [] for row in rows}
        for seed in range(self.seeds):
            for row, added in rows.items():
                found[row].append(self._result(row, seed, [*self._labelled, *added(seed)]))
        return found

    def _steps_of(self, images: int) -> int:
        """Steps of an epoch. Raises ArgumentError where they do not fill a batch."""
        if images < self.config.batch_size:
            raise ArgumentError(
                f"{images} images do not fill a batch of {self.config.batch_size}; label more"
            )
        return images // self.config.batch_size

    def _others(self) -> list[int]:
        return [index for index in range(len(self._names)) if index not in set(self._labelled)]

    def _any(self, seed: int) -> list[int]:
        chosen = np.random.default_rng(seed).choice(self._others(), self._added, replace=False)
        return sorted(chosen.tolist())

    def _mined(self, by: str) -> list[int]:
        """Which images the network of the start would have labelled."""
        path = self.out / "mined" / f"{by}.json"
        if path.exists():
            known: list[int] = json.loads(path.read_text())
            return known
        segment = Segmenter(self._weights(START, 0), backend="eager")
        candidates = [self._candidate(index) for index in range(len(self._names))]
        others = {candidates[index] for index in self._others()}
        # All of them, for the measure that looks at neighbours.
        scored = list(score(segment, self._frames(candidates), by))
        scored = [row for row in scored if row.candidate in others]
        chosen = choose(scored, self._added, self._min_distance)
        print(f"{by}: {summary(scored, chosen, self._added)}")
        if len(chosen) < self._added:
            raise ArgumentError("too few to compare: give a smaller --min-distance or --added")
        write_why(path.with_suffix(".csv"), chosen)
        indices = sorted(candidates.index(entry.candidate) for entry in chosen)
        write_bytes(path, json.dumps(indices).encode())
        return indices

    def _candidate(self, index: int) -> Candidate:
        if (found := _NAME.fullmatch(self._names[index])) is None:
            raise ArgumentError(f"{self._names[index]} has no drive and number, as CamVid's have")
        return Candidate(found[1], "front", int(found[2]) * 10**9 // _RATE)

    def _frames(self, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Frame]]:
        images = open_images(self._data, "train")
        for index, candidate in enumerate(candidates):
            yield candidate, Frame.of(images[index][0], "rgb8")

    def _weights(self, row: str, seed: int) -> Path:
        return self.out / "runs" / f"{row}-{seed}" / "weights.safetensors"

    def _result(self, row: str, seed: int, indices: Sequence[int]) -> dict[str, Any]:
        """Trains where that was not done, and scores."""
        path = self.out / "results" / f"{row}-{seed}.json"
        if not path.exists():
            weights = self._weights(row, seed)
            if not weights.exists():
                self._train(row, seed, indices)
            segment = Segmenter(weights, backend="eager", precision="float32")
            val = open_split(self._data, self.config.dataset.val, segment.labels)
            scores = evaluate(SingleView(segment), val, segment.labels)
            kept = {"row": row, "seed": seed, "images": len(indices), **scores}
            write_bytes(path, (json.dumps(kept, indent=1) + "\n").encode())
        known: dict[str, Any] = json.loads(path.read_text())
        return known

    def _train(self, row: str, seed: int, indices: Sequence[int]) -> None:
        epochs = -(-self._steps // self._steps_of(len(indices)))
        start = None if row == START else str(self._weights(START, 0))
        # Scored once, at the end: the best of many looks at val would flatter.
        config = replace(
            self.config, epochs=epochs, validate_every=epochs, seed=seed, start_from=start
        )
        data = self._subset(f"{row}-{seed}", indices)
        out = self._weights(row, seed).parent
        train(config, str(data), out, resume=(out / "config.yaml").exists())

    def _subset(self, name: str, indices: Sequence[int]) -> Path:
        """A folder of those training images and all of val, as links."""
        folder = self.out / "sets" / name
        wanted = {
            **{f"train/{index:05}.png": f"train/{index:05}.png" for index in indices},
            **{f"trainannot/{index:05}.png": f"trainannot/{index:05}.png" for index in indices},
            **{whole: whole for whole in ("val", "valannot", "labels.yaml")},
        }
        for link, target in wanted.items():
            (folder / link).parent.mkdir(parents=True, exist_ok=True)
            if not (folder / link).is_symlink():
                (folder / link).symlink_to((self._data / target).resolve())
        return folder


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: a line for what was added, with mean and spread over seeds, and each class."""
    classes = list(found[NOTHING][0]["iou"])
    head = ["added", "mIoU", "least to most", "to random", *classes]
    lines = [head, ["---"] * len(head)]
    base = statistics.mean(_means(found[RANDOM]))
    for row, results in found.items():
        means = _means(results)
        mean = statistics.mean(means)
        cells = [row, f"{mean:.1f}", f"{min(means):.1f} to {max(means):.1f}", f"{mean - base:+.1f}"]
        for name in classes:
            known = [r["iou"][name] for r in results if r["iou"][name] is not None]
            cells.append(f"{statistics.mean(known):.0f}" if known else "")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def plot(values: dict[str, list[float]], title: str) -> Figure:
    """A dot for each seed, and a line at the mean."""
    figure = Figure(figsize=(8, 0.5 * len(values) + 1.3), layout="constrained")
    axes = figure.subplots()
    for row, means in enumerate(values.values()):
        axes.plot(means, [row] * len(means), "o", color="steelblue", alpha=0.7)
        axes.plot(statistics.mean(means), row, "|", color="black", markersize=18)
        axes.axhline(row, color="lightgray", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.set(xlabel="mIoU on val, %", title=title)
    axes.grid(axis="x", alpha=0.3)
    return figure


def _means(results: Sequence[dict[str, Any]]) -> list[float]:
    return [result["mean_iou"] for result in results]


#: Options that the trainings depend on.
_RECIPE = ("data", "scale", "labelled", "added", "min_distance")


def main() -> None:
    parser = command_parser("mining", __doc__)
    parser.prog = "python scripts/measure_mining.py"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="CamVid at 480 x 360")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is kept")
    recipe = Path("config/train/networks.yaml")
    parser.add_argument("--config", type=Path, default=recipe, help="of every training")
    parser.add_argument("--scale", type=float, default=0.5, help="the images are shrunk by it")
    parser.add_argument("--labelled", type=at_least(1), default=40)
    parser.add_argument("--added", type=at_least(1), default=40)
    parser.add_argument("--min-distance", type=float, default=MIN_DISTANCE)
    parser.add_argument("--seeds", type=at_least(1), default=3)
    parser.add_argument("--epochs", type=at_least(1), default=100, help="over the larger sets")
    options = parser.parse_args()
    with errors_in_one_line(options.debug):
        found = Experiment(options).run()
        text = table(found)
        print(text)
        write_bytes(options.out / "mining.md", f"{text}\n".encode())
        values = {row: _means(results) for row, results in found.items()}
        title = f"{options.added} frames added to {options.labelled}: a dot a seed, a line the mean"
        save_figure(options.out / "mining.png", plot(values, title))


if __name__ == "__main__":
    main()
