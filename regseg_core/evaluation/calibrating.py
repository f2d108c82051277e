"""Calibrating weights for int8: ranges measured by NNCF, and layers spared that int8 hurts."""

from __future__ import annotations

import bisect
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from regseg_core.arrays import Image
from regseg_core.backends.base import BackendError, Compiled, Job
from regseg_core.backends.openvino import OpenVino, compiled, convert
from regseg_core.backends.rounding import Activations, layer_of, round_to_bytes, roundings
from regseg_core.backends.spec import GraphSpec
from regseg_core.calibration import Calibration, sha256_of
from regseg_core.data.labelled import Titled
from regseg_core.data.opening import open_split
from regseg_core.data.sampling import spread
from regseg_core.data.synthetic import STREET, SyntheticStreets
from regseg_core.evaluation.verify import Comparison, compare, frames_of
from regseg_core.labels import LabelSet
from regseg_core.media import holds_images, list_images, read_image
from regseg_core.weights import ModelCard

_LOG = logging.getLogger("regseg_core")

#: So many images are measured at most, and on so many layers are ranked.
_MEASURED, _RANKED_ON = 90, 8


def calibrate(
    card: ModelCard,
    weights: Path,
    data: str,
    labelled: Titled | None = None,
    size: tuple[int, int] | None = None,
    network_size: tuple[int, int] | None = None,
) -> tuple[Calibration, Comparison | None]:
    """The calibration of a file of weights, and how int8 then scores on labelled images.

    `data` as in `read_images`; `size`: height and width that its images are brought to, None for
    that of the first. With `labelled`, layers that int8 hurts are spared until the gate holds.
    Raises BackendError, also where it cannot hold, and what `read_images` does.
    """
    OpenVino().check(torch.device("cpu"))
    images = read_images(data, card.labels)
    height, width = size or images[0].shape[:2]
    spec = GraphSpec("rgb8", height, width, size=network_size, precision="int8")
    job = Job(card, weights, spec, torch.device("cpu"))
    calibration = measure_ranges(job, images, data)
    if labelled is None:
        return calibration, None
    return spare_layers(replace(job, calibration=calibration), labelled)


def read_images(data: str, labels: LabelSet) -> list[Image]:
    """H x W x 3 uint8 RGB: of a folder of images, or of a data set's training images.

    At most 90, from all over it. Raises DataError and MediaError.
    """
    folder = Path(data)
    if folder.is_dir() and holds_images(folder):
        paths = list_images(folder)
        return [read_image(paths[place]) for place in spread(len(paths), _MEASURED)]
    # The streets of `open_split` are those that are scored.
    streets = data == STREET
    images = SyntheticStreets(_MEASURED) if streets else open_split(data, "train", labels)
    return [images[place][0] for place in spread(len(images), _MEASURED)]


def measure_ranges(job: Job, images: Sequence[Image], data: str) -> Calibration:
    """Ranges of a job's network on RGB images, which are brought to its frames' size.

    The job's encoding is rgb8. `data`: what the images are, for people. Raises BackendError without
    NNCF or OpenVINO.
    """
    nncf = _nncf()
    spec = job.spec
    model, network = convert(job)
    model.reshape(list(spec.shape))
    frames = [frames_of(image, spec) for image in images]
    measured = nncf.quantize(
        model,
        nncf.Dataset(frames),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(frames),
        # It moved a class of the shipped weights by 0.7 points, and nothing to the better.
        advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
    )
    names = Activations(model, network).names
    ranges: dict[str, tuple[float, float]] = {}
    for node, low, high in roundings(measured):
        if (name := names.get(node)) is not None:
            # Of an activation and of slices of it: they share one range.
            least, most = ranges.get(name, (low, high))
            ranges[name] = (min(least, low), max(most, high))
    about = {
        "by": f"nncf {version('nncf')}, openvino {version('openvino')}",
        "images": len(frames),
        "data": data,
        "size": [spec.height, spec.width],
    }
    return Calibration(sha256_of(job.path), dict(sorted(ranges.items())), (), about)


def spare_layers(job: Job, images: Titled) -> tuple[Calibration, Comparison]:
    """The job's calibration, with as many layers in floating point as the gate asks for.

    Also how it then scores.

    The worst come first: those that change most labels when they alone are in int8. The log says
    which. Raises BackendError where the gate fails with all of them in floating point.
    """
    assert job.calibration is not None
    calibration = job.calibration
    model, network = convert(job)

    def opened(floats: Sequence[str]) -> Compiled:
        rounded = model.clone()
        round_to_bytes(rounded, network, replace(calibration, floats=tuple(floats)))
        return compiled(rounded, job.spec)

    def passes(floats: Sequence[str]) -> bool:
        return not compare(opened(floats), job, images).why_worse()

    def verified(floats: Sequence[str], report: Comparison) -> tuple[Calibration, Comparison]:
        lost = {name: round(points, 2) for name, points in report.lost.items()}
        about = {**calibration.about, "points_lost": lost, "verified_on": report.images}
        return replace(calibration, floats=tuple(floats), about=about), report

    report = compare(opened(()), job, images)
    if not (why := report.why_worse()):
        return verified((), report)
    _LOG.warning("int8 hurts: %s; looking for the layers that do", why)
    layers = [
        *dict.fromkeys([*Activations(model, network).layers, *map(layer_of, calibration.ranges)])
    ]
    hurt = _hurt(layers, opened, job.spec, images)
    worst = sorted(layers, key=lambda layer: -hurt[layer])
    spared = worst[
        : 1
        + bisect.bisect_left(range(1, len(worst)), True, key=lambda count: passes(worst[:count]))
    ]
    report = compare(opened(spared), job, images)
    report.refuse_if_worse()
    for layer in spared:
        _LOG.warning(
            "%s stays in floating point: alone in int8 it changes %.3f %% of the labels",
            layer,
            hurt[layer],
        )
    return verified(spared, report)


def _hurt(
    layers: Sequence[str],
    opened: Callable[[Sequence[str]], Compiled],
    spec: GraphSpec,
    images: Titled,
) -> dict[str, float]:
    """Percent of the pixels whose label changes when that layer alone is in int8."""
    frames = [
        torch.from_numpy(frames_of(images[place][0], spec))
        for place in spread(len(images), _RANKED_ON)
    ]
    exact = [run(frame)[0] for run in (opened(layers),) for frame in frames]
    found = {}
    for layer in tqdm(layers, unit="layer", desc="ranking", leave=False):
        run = opened([other for other in layers if other != layer])
        changed = [
            (run(frame)[0] != labels).float().mean()
            for frame, labels in zip(frames, exact, strict=True)
        ]
        found[layer] = 100 * float(torch.stack(changed).mean())
    return found


def _nncf() -> Any:
    # It would report its use to its makers.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        import nncf
    except ImportError as error:
        raise BackendError(f"calibrating needs NNCF: pip install nncf ({error})") from error
    nncf.set_log_level(logging.ERROR)
    return nncf
