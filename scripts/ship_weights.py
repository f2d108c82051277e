"""Scores a training run's weights as they will run and puts them into the package.

PYTHONPATH=. .venv/bin/python scripts/ship_weights.py runs/first NAME --data DIR \\
    --data-title TEXT --licence TEXT
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from regseg_core import Segmenter
from regseg_core.calibration import write_calibration
from regseg_core.data.opening import open_split
from regseg_core.data.synthetic import STREET
from regseg_core.evaluate import format_scores
from regseg_core.evaluation.calibrating import calibrate
from regseg_core.evaluation.scoring import SingleView, evaluate
from regseg_core.model import create_model
from regseg_core.weights import ModelCard, load_weights, read_card, save_weights

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("name", help="name in the zoo")
    parser.add_argument("--data", required=True, help="folder whose val split scores")
    parser.add_argument("--data-title", required=True, help="what the weights were trained on")
    parser.add_argument("--note", default="", help="what the scores do not say")
    parser.add_argument(
        "--temperature", type=float, help="fitted on drives that were left out; default: the run's"
    )
    parser.add_argument("--licence", required=True, help="what the weights may be used for")
    options = parser.parse_args()

    source = options.run / "weights.safetensors"
    card = read_card(source)
    assert card is not None, "the trainer writes a card into its weights"
    note = f"IoU in percent over one confusion matrix. {options.note}".strip()
    scores: dict[str, object] = {"note": note}
    for precision in ("float32", "bfloat16"):
        segment = Segmenter(source, precision=precision, backend="eager")
        for title, data in (("val", options.data), ("synthetic_street", STREET)):
            images = open_split(data, "val", segment.labels)
            found = evaluate(SingleView(segment), images, segment.labels)
            found.pop("images_per_second")  # of this machine
            scores[f"{title}_{precision}"] = found
            print(f"{title}, {precision}\n{format_scores(found)}\n")
    training = {**card.about["training"], "data": options.data_title}
    shipped = ModelCard(
        card.architecture,
        card.labels,
        {"training": training, "scores": scores, "licence": options.licence},
        temperature=options.temperature or card.temperature,
    )
    target = ROOT / "regseg_core" / "zoo" / f"{options.name}.safetensors"
    network = create_model(card.architecture, len(card.labels))
    load_weights(network, source)
    save_weights(target, network, shipped)
    print(f"wrote {target.relative_to(ROOT)}, {target.stat().st_size / 1e6:.2f} MB")
    # Beside the weights, not in their card: it is bound to their file.
    labelled = open_split(options.data, "val", shipped.labels)
    calibration, report = calibrate(shipped, target, options.data, labelled)
    print(f"int8\n{report}")
    about = {**calibration.about, "data": f"{Path(options.data).name}, its train split"}
    write_calibration(target, replace(calibration, about=about))


if __name__ == "__main__":
    main()
