"""How fast training images come: against what training consumes, and against a plain pipeline."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PILImage
from PIL import ImageEnhance, ImageOps
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from regseg_core.benchmark.training_steps import step_seconds
from regseg_core.data.layouts import CITYSCAPES_VOID_IDS, open_images
from regseg_core.data.sampling import Sample
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.device import choose_device, device_title, keep_freed_memory
from regseg_core.figures import draw_bars, save_figure
from regseg_core.files import write_bytes
from regseg_core.labels import CAMVID, CITYSCAPES_LABEL_IDS, IGNORE_INDEX
from regseg_core.media import write_image
from regseg_core.model.contract import IMAGENET
from regseg_core.training.config import AugmentConfig, TrainingConfig
from regseg_core.training.loaders import Augmented, Example, WithTitles

#: Of config/train/camvid480.yaml, without its rendered streets.
CAMVID480 = AugmentConfig(360, 480, 216, 648)
CITYSCAPES = AugmentConfig(768, 768, 400, 1600)

#: Different images, and how many a measurement reads.
FILES, READ = 12, 48


def run(rounds: int, workers: int, out: Path | None) -> dict[str, float]:
    """Measures, prints medians and ratios, and writes JSON and a plot if `out` is given.

    Returns images per second by name.
    """
    cv2.setNumThreads(0)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        small = write_camvid(Path(folder) / "small", FILES)
        large = write_cityscapes(Path(folder) / "large", FILES)
        measurements: dict[str, Callable[[], float]] = {
            "camvid480 loader": lambda: _rate(our_pipeline(small, CAMVID480), workers),
            "camvid480 training": _training_rate,
            "1024 x 2048 loader": lambda: _rate(our_pipeline(large, CITYSCAPES), workers),
            "1024 x 2048 plain PIL": lambda: _rate(PlainPil(large, CITYSCAPES), workers),
        }
        rates: dict[str, list[float]] = {name: [] for name in measurements}
        for _ in tqdm(range(rounds), desc="rounds"):
            for name, measure in measurements.items():
                rates[name].append(measure())
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, median in medians.items():
        spread = f"{min(rates[name]):.1f} to {max(rates[name]):.1f}"
        print(f"{name:24} {median:8.1f} images/s  ({spread} in {rounds} rounds)")
    ratios = {
        "camvid480 loader / training": medians["camvid480 loader"] / medians["camvid480 training"],
        "1024 x 2048 loader / plain PIL": medians["1024 x 2048 loader"]
        / medians["1024 x 2048 plain PIL"],
    }
    for name, ratio in ratios.items():
        print(f"{name:32} {ratio:.2f}")
    if out is not None:
        device = device_title(choose_device("cpu"))
        table = {"device": device, "workers": workers, "images_per_second": rates, "ratios": ratios}
        write_bytes(out / "loader.json", (json.dumps(table, indent=1) + "\n").encode())
        save_figure(out / "loader.png", draw_bars(rates, "images per second", device))
    return medians


#: Pillow's own of the operations in regseg_core.data.operations.
PIL_OPERATIONS: tuple[Callable[[PILImage.Image, float], PILImage.Image], ...] = (
    lambda image, _: ImageOps.autocontrast(image),
    lambda image, _: ImageOps.equalize(image),
    lambda image, factor: ImageEnhance.Color(image).enhance(factor),
    lambda image, factor: ImageEnhance.Contrast(image).enhance(factor),
    lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
    lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor),
)


class PlainPil(Dataset[Example]):
    """The paper's augmentation as one writes it with PIL: the whole image is resized, then cut."""

    def __init__(self, root: Path, config: AugmentConfig) -> None:
        self.pairs, self.config = open_images(root, "train").pairs, config
        table = np.full(256, IGNORE_INDEX, np.uint8)
        table[list(CITYSCAPES_LABEL_IDS.ids)] = np.arange(19)
        table[list(CITYSCAPES_VOID_IDS)] = IGNORE_INDEX
        self.table = table

    def __getitem__(self, sample: Sample) -> Example:
        config, rng = self.config, np.random.default_rng(sample.seed)
        image_path, label_path = self.pairs[sample.image]
        image = PILImage.open(image_path).convert("RGB")
        label = PILImage.fromarray(self.table[np.asarray(PILImage.open(label_path))])
        short = int(rng.integers(config.short_side_min, config.short_side_max + 1))
        scale = short / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, PILImage.Resampling.BILINEAR)
        label = label.resize(size, PILImage.Resampling.NEAREST)
        right, bottom = max(0, config.crop_width - size[0]), max(0, config.crop_height - size[1])
        if right or bottom:
            image = ImageOps.expand(image, (0, 0, right, bottom), IMAGENET.fill)
            label = ImageOps.expand(label, (0, 0, right, bottom), IGNORE_INDEX)
        x = int(rng.integers(0, image.width - config.crop_width + 1))
        y = int(rng.integers(0, image.height - config.crop_height + 1))
        box = (x, y, x + config.crop_width, y + config.crop_height)
        image, label = image.crop(box), label.crop(box)
        if rng.random() < 0.5:
            image, label = ImageOps.mirror(image), ImageOps.mirror(label)
        for choice in rng.permutation(len(PIL_OPERATIONS) + 1)[: config.operations]:
            level = config.magnitude if rng.random() < 0.5 else -config.magnitude
            if choice < len(PIL_OPERATIONS):
                image = PIL_OPERATIONS[choice](image, 1 + 0.9 * level)
            else:
                bilinear, nearest = PILImage.Resampling.BILINEAR, PILImage.Resampling.NEAREST
                image = image.rotate(30 * level, bilinear, fillcolor=IMAGENET.fill)
                label = label.rotate(30 * level, nearest, fillcolor=IGNORE_INDEX)
        return np.array(image), np.array(label), str(image_path)


def our_pipeline(root: Path, config: AugmentConfig) -> Dataset[Example]:
    """What the trainer reads, of the split train."""
    return Augmented(WithTitles(open_images(root, "train")), config, IMAGENET.fill)


def _rate(examples: Dataset[Example], workers: int) -> float:
    samples = [Sample(index % FILES, None, (0, 0, index)) for index in range(READ)]
    loader = DataLoader(
        examples, batch_size=4, sampler=samples, num_workers=workers, persistent_workers=workers > 0
    )
    for _ in loader:  # the processes start, the files come into the cache
        pass
    started = time.perf_counter()
    for _ in loader:
        pass
    return READ / (time.perf_counter() - started)


def _training_rate() -> float:
    config = replace(TrainingConfig(), augment=CAMVID480)
    return config.batch_size / step_seconds(config, CAMVID)


def write_camvid(root: Path, count: int) -> Path:
    """Streets in the layout of CamVid at 480 x 360."""
    streets = SyntheticStreets(count)
    for number in range(count):
        image, label = streets[number]
        write_image(root / "train" / f"{number}.png", image)
        write_image(root / "trainannot" / f"{number}.png", label)
    return root


def write_cityscapes(root: Path, count: int) -> Path:
    """Streets of 1024 x 2048 in Cityscapes' layout, with label ids."""
    streets = SyntheticStreets(count, 2048, 1024)
    for number in range(count):
        image, label = streets[number]
        ids = np.array(CITYSCAPES_LABEL_IDS.ids, np.uint8)[label]
        frame = f"a_{number:06d}_000000"
        write_image(root / "leftImg8bit" / "train" / "a" / f"{frame}_leftImg8bit.png", image)
        write_image(root / "gtFine" / "train" / "a" / f"{frame}_gtFine_labelIds.png", ids)
    return root
