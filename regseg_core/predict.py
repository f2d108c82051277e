"""`python -m regseg_core.predict`: pictures and films -> overlays and label images."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from tqdm import tqdm

from regseg_core.cli import add_segmenter_options, errors_in_one_line, make_segmenter
from regseg_core.media import (
    IMAGE_SUFFIXES,
    MediaError,
    VideoWriter,
    list_images,
    read_image,
    read_video,
    video_rate,
    write_image,
)
from regseg_core.segmenter import Segmenter


def predict_images(
    segment: Segmenter, images: list[Path], out: Path, labels_out: Path | None, alpha: float
) -> list[str]:
    """Writes an overlay for each picture, and a label image; returns what could not be read.

    `out` is a folder, or the picture to write where it has a picture's suffix. Raises MediaError
    where a result cannot be written.
    """
    errors = []
    single = out.suffix.lower() in IMAGE_SUFFIXES
    for path in tqdm(images, unit="image", desc="segmenting"):
        try:
            image = read_image(path)
        except MediaError as error:
            errors.append(str(error))
            continue
        result = segment(image, encoding="rgb8")
        target = out if single else out / f"{path.stem}.png"
        write_image(_other_than(path, target), result.overlay(alpha))
        if labels_out is not None:
            write_image(_other_than(path, labels_out / f"{path.stem}.png"), result.labels)
    return errors


def _other_than(source: Path, target: Path) -> Path:
    if target.resolve() == source.resolve():
        raise MediaError(f"{target} would overwrite the input; give another folder")
    return target


def predict_video(
    segment: Segmenter, video: Path, out: Path, labels_out: Path | None, alpha: float
) -> None:
    """Writes the film with the mask over it, and a numbered label image for each frame.

    `out` is the `.mp4` to write, or a folder. Raises MediaError.
    """
    target = out if out.suffix.lower() == ".mp4" else out / f"{video.stem}.mp4"
    frames = tqdm(read_video(video), unit="frame", desc="segmenting")
    with VideoWriter(_other_than(video, target), video_rate(video)) as writer:
        for number, frame in zip(itertools.count(), frames):
            result = segment(frame, encoding="rgb8")
            writer.write(result.overlay(alpha))
            if labels_out is not None:
                write_image(labels_out / f"{video.stem}_{number:06d}.png", result.labels)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m regseg_core.predict", description=__doc__)
    parser.add_argument("input", type=Path, help="a picture, a folder of pictures, or a film")
    parser.add_argument("-o", "--out", type=Path, required=True, help="file or folder to write")
    parser.add_argument("--labels-out", type=Path, help="folder for label PNGs, one byte a pixel")
    parser.add_argument("--alpha", type=float, default=0.5, help="weight of the mask, 0 to 1")
    add_segmenter_options(parser)
    options = parser.parse_args(arguments)
    source, out, labels_out = options.input, options.out, options.labels_out
    errors: list[str] = []
    with errors_in_one_line():
        if not source.exists():
            raise MediaError(f"there is no {source}")
        if source.is_dir() and out.suffix.lower() in IMAGE_SUFFIXES:
            raise MediaError(f"{source} is a folder, so --out must be one, not {out}")
        segment = make_segmenter(options)
        if source.is_dir():
            errors = predict_images(segment, list_images(source), out, labels_out, options.alpha)
        elif source.suffix.lower() in IMAGE_SUFFIXES:
            errors = predict_images(segment, [source], out, labels_out, options.alpha)
        else:
            predict_video(segment, source, out, labels_out, options.alpha)
    if errors:
        sys.exit("\n".join(f"error: {error}" for error in errors))


if __name__ == "__main__":
    main()
