"""`python -m regseg_core.predict`: images and videos -> overlays and label images."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from regseg_core.cli import (
    add_segmenter_options,
    command_parser,
    errors_in_one_line,
    make_segmenter,
)
from regseg_core.files import check_folder, check_writable
from regseg_core.frame import Frame
from regseg_core.media import (
    IMAGE_SUFFIXES,
    CutOffError,
    MediaError,
    VideoWriter,
    list_images,
    read_image,
    read_video,
    video_rate,
    write_image,
)
from regseg_core.pipelining import WriteBehind, batch_on, segmented
from regseg_core.segmentation import Segmentation
from regseg_core.segmenter import Segmenter


@dataclass(frozen=True)
class Job:
    """An image or video, the overlay to write, and the label image or, of a video, their folder."""

    source: Path
    overlay: Path
    labels: Path | None


def plan(source: Path, out: Path, labels_out: Path | None) -> list[Job]:
    """What has to be written for a source.

    `out` is a folder, or a file for a single source. Raises MediaError where there is no source,
    where `out` has a suffix that does not suit it, and where two results would have one name or a
    result the name of an input.
    """
    if not source.exists():
        raise MediaError(f"there is no {source}")
    sources = list_images(source) if source.is_dir() else [source]
    video = not source.is_dir() and source.suffix.lower() not in IMAGE_SUFFIXES
    suffix = ".mp4" if video else ".png"
    single = not source.is_dir() and out.suffix != "" and not out.is_dir()
    if single and out.suffix.lower() not in ({".mp4"} if video else IMAGE_SUFFIXES):
        raise MediaError(f"--out {out}: give a folder, or a file that ends with {suffix}")
    jobs = [
        Job(
            path,
            out if single else out / f"{path.stem}{suffix}",
            None if labels_out is None else labels_out / ("" if video else f"{path.stem}.png"),
        )
        for path in sources
    ]
    targets = Counter(
        target.resolve() for job in jobs for target in (job.overlay, job.labels) if target
    )
    for path in sources:
        if path.resolve() in targets:
            raise MediaError(f"{path} is an input and would be overwritten; give another folder")
    for target, count in targets.items():
        if count > 1:
            raise MediaError(f"{target} would be written {count} times; give other folders")
    return jobs


def predict_images(segment: Segmenter, jobs: list[Job], alpha: float) -> list[str]:
    """Writes an overlay and a label image for each image; returns what could not be read.

    Raises FileError where a result cannot be written.
    """
    errors = []

    def images() -> Iterator[tuple[int, Frame]]:
        for number, job in enumerate(jobs):
            try:
                yield number, Frame.of(read_image(job.source), "rgb8")
            except MediaError as error:
                errors.append(str(error))

    def write(job: Job, result: Segmentation) -> None:
        write_image(job.overlay, result.overlay(alpha))
        if job.labels is not None:
            write_image(job.labels, result.labels)

    with (
        tqdm(total=len(jobs), unit="image", desc="segmenting") as bar,
        segmented(segment, images()) as results,
        WriteBehind(batch_on(segment.device)) as behind,
    ):
        for number, result in results:
            behind(partial(write, jobs[number], result))
            bar.update(number + 1 - bar.n)  # with those before it that could not be read
        bar.update(len(jobs) - bar.n)
    return errors


def predict_video(segment: Segmenter, job: Job, alpha: float) -> list[str]:
    """Writes the video with the mask over it, and a numbered label image for each frame.

    Of a video that is cut off, what can be read; returns what could not. Raises MediaError.
    """
    frames = ((n, Frame.of(image, "rgb8")) for n, image in enumerate(read_video(job.source)))

    def write(number: int, result: Segmentation) -> None:
        video.write(result.overlay(alpha))
        if job.labels is not None:
            write_image(job.labels / f"{job.source.stem}_{number:06d}.png", result.labels)

    with (
        VideoWriter(job.overlay, video_rate(job.source)) as video,
        segmented(segment, frames) as results,
        WriteBehind(batch_on(segment.device)) as behind,
    ):
        try:
            for number, result in tqdm(results, unit="frame", desc="segmenting"):
                behind(partial(write, number, result))
        except CutOffError as error:
            return [str(error)]
    return []


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("predict", __doc__)
    parser.add_argument("input", type=Path, help="an image, a folder of images, or a video")
    parser.add_argument("-o", "--out", type=Path, required=True, help="file or folder to write")
    parser.add_argument("--labels-out", type=Path, help="folder for label PNGs, one byte a pixel")
    parser.add_argument("--alpha", type=float, default=0.5, help="weight of the mask, 0 to 1")
    add_segmenter_options(parser)
    options = parser.parse_args(arguments)
    with errors_in_one_line(options.debug):
        jobs = plan(options.input, options.out, options.labels_out)
        for job in jobs:
            check_writable(job.overlay)
        if options.labels_out is not None:
            check_folder(options.labels_out)
        segment = make_segmenter(options)
        if jobs[0].overlay.suffix.lower() == ".mp4":
            errors = predict_video(segment, jobs[0], options.alpha)
            print(f"wrote {jobs[0].overlay}")
        else:
            errors = predict_images(segment, jobs, options.alpha)
            print(f"wrote {len(jobs) - len(errors)} of {len(jobs)}, such as {jobs[0].overlay}")
    if errors:
        sys.exit("\n".join(f"error: {error}" for error in errors))


if __name__ == "__main__":
    main()
