"""Bags -> a pool of the frames that are most worth labelling by hand, with pre-labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from regseg_core.annotation.pool import Pool, is_kept
from regseg_core.arrays import Image
from regseg_core.bag.cameras import count_frames, find_cameras
from regseg_core.bag.damage import Damage
from regseg_core.bag.errors import BagError
from regseg_core.bag.recording import Recording
from regseg_core.bag.steps import steps
from regseg_core.errors import ArgumentError
from regseg_core.files import holds_something, made_beside
from regseg_core.frame import Frame
from regseg_core.media import JPEG_START, write_image
from regseg_core.mining.candidate import Candidate
from regseg_core.mining.choosing import Chosen, choose
from regseg_core.mining.report import ContactSheet, summary, write_why
from regseg_core.mining.scoring import score
from regseg_core.segmenter import Segmenter

#: The pictures to look at first.
SHEET = "contact-sheet.jpg"


@dataclass(frozen=True)
class Mined:
    """What was done, in a line, and what could not be read, as far as it is named, in others."""

    title: str
    flaws: list[str]


def mine(
    segment: Segmenter,
    bags: Sequence[Path],
    out: Path,
    count: int,
    by: str,
    min_distance: float,
    topics: Sequence[str] = (),
) -> Mined:
    """Writes the pool: images and labels, why.csv, and contact-sheet.jpg to look at; whole or not.

    `by`, `count`, `min_distance` as in `score` and `choose`; `topics` as in `find_cameras`. Raises
    what these do, BagError, AnnotationError where the pool is there, and FileError.
    """
    choose([], count, min_distance)  # what is wrong is said before hours of work
    out = out.resolve()  # a link would be put aside, not what it is to
    if holds_something(out):
        raise ArgumentError(f"{out} exists, and cannot be made anew: give another folder")
    damage = Damage()
    named = _readable(_names(bags), topics, damage)
    frames = (
        (candidate, frame)
        for name, path in named.items()
        for candidate, frame, _ in _frames(name, path, topics, damage, "looking at")
    )
    scored = list(score(segment, frames, by))
    chosen = choose(scored, count, min_distance)
    wanted = {entry.candidate: entry for entry in chosen}
    with made_beside(out) as folder:
        pool, sheet = Pool.create(folder, segment.labels), ContactSheet()
        for name, path in named.items():
            if any(candidate.bag == name for candidate in wanted):
                _add(segment, name, path, topics, wanted, pool, sheet)
        write_why(folder / "why.csv", chosen)
        if chosen:
            write_image(folder / SHEET, sheet.image())
        folder.replace(out)
    return Mined(summary(scored, chosen, count) + damage.title, damage.flaws)


def _add(
    segment: Segmenter,
    name: str,
    path: Path,
    topics: Sequence[str],
    wanted: dict[Candidate, Chosen],
    pool: Pool,
    sheet: ContactSheet,
) -> None:
    """Adds what was chosen of one bag."""
    for candidate, frame, sent in _frames(name, path, topics, Damage(), "taking from"):
        entry = wanted.pop(candidate, None)
        if entry is not None:
            [seen] = segment.segment([frame])
            pool.add(entry.name, _lossless(frame, bytes(sent)), seen.labels)
            sheet.add(entry, seen)


def _frames(
    name: str, path: Path, topics: Sequence[str], damage: Damage, doing: str
) -> Iterator[tuple[Candidate, Frame, Any]]:
    """The frames of a bag's cameras that can be read, and what of each was sent compressed."""
    with Recording(path) as recording:
        cameras = find_cameras(recording, topics)
        total = count_frames(recording, cameras)
        last: dict[str, tuple[int, int]] = {}
        read = steps(recording, cameras, (), None)
        for step in tqdm(read, f"{doing} {name}", total, unit="frame"):
            if step.flaw:
                damage.refuse(step.flaw)
            elif step.camera is not None and step.message is not None and step.frame is not None:
                topic, time_ns = step.camera.topic, step.message.time_ns
                before, repeat = last.get(topic, (time_ns, -1))
                last[topic] = time_ns, repeat + 1 if before == time_ns else 0
                candidate = Candidate(name, topic, *last[topic])
                yield candidate, step.frame, step.image.data if step.camera.compressed else b""
        damage.note(recording.flaws)


def _lossless(frame: Frame, sent: bytes) -> bytes | Image:
    """A JPEG of colours as it came; anything else, also one that EXIF data turn, as RGB."""
    is_colours = frame.encoding == "bgr8" and sent.startswith(JPEG_START)
    return sent if is_colours and is_kept(sent) else frame.rgb()


def _readable(named: dict[str, Path], topics: Sequence[str], damage: Damage) -> dict[str, Path]:
    """The bags that have such cameras; of the others the flaws say why. Raises BagError."""
    found = {}
    for name, path in named.items():
        try:
            with Recording(path) as recording:
                find_cameras(recording, topics)
        except BagError as error:
            damage.note([str(error)])
        else:
            found[name] = path
    if not found:
        raise BagError("; ".join(damage.flaws))
    return found


def _names(bags: Sequence[Path]) -> dict[str, Path]:
    """Short ones where they differ."""
    short = Counter(path.name for path in bags)
    return {path.name if short[path.name] == 1 else str(path): path for path in bags}
