"""A bag through the network: every frame of it, in order, with what else is to come along."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from regseg_core.bag.cameras import Camera, count_frames, find_cameras
from regseg_core.bag.damage import Damage
from regseg_core.bag.errors import BagError
from regseg_core.bag.outgoing import (
    copied_channel,
    label_info_channel,
    label_info_message,
    output_channel,
    output_message,
    output_of,
)
from regseg_core.bag.parts import JOURNAL, SECONDS, Channel, Parts, read_journal, refuse_others
from regseg_core.bag.recording import Recording
from regseg_core.bag.steps import Step, steps
from regseg_core.batching import batched
from regseg_core.calibration import sha256_of
from regseg_core.errors import ArgumentError
from regseg_core.frame import Frame, Kind
from regseg_core.groups import Groups
from regseg_core.outputs import Style
from regseg_core.pipelining import ReadAhead, WriteBehind, batch_on
from regseg_core.segmentation import Segmentation
from regseg_core.segmenter import Segmenter


@dataclass
class Report(Damage):
    """What became of a bag."""

    frames: int = 0
    #: What segmented the frames of each kind.
    backends: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.frames} frames labelled{super().title}"


def recipe(outputs: Sequence[str], all_topics: bool, storage: str, weights: Path) -> dict[str, Any]:
    """What has to be equal in all bags of a fleet; arguments as `Labelling` takes them."""
    return {
        "outputs": list(dict.fromkeys(outputs)),
        "all_topics": all_topics,
        "storage": storage,
        "weights": sha256_of(weights),
    }


class Labelling:
    """Writes a bag with what a network sees in another one.

    `outputs`: names of `outgoing.OUTPUT_NAMES`. `all_topics`: the other bag's own messages come
    along. `storage`: a name of `parts.STORAGES`. `part_seconds`: as much work is lost at most where
    it is killed. All frames of a kind are segmented by one backend, the best that works, so that it
    does not matter where a labelling is taken up again. Raises ArgumentError for outputs that the
    weights cannot give.
    """

    def __init__(
        self,
        segment: Segmenter,
        outputs: Sequence[str] = ("label", "mask"),
        all_topics: bool = False,
        storage: str = "mcap",
        quiet: bool = False,
        part_seconds: float = SECONDS,
    ) -> None:
        self._part_seconds = part_seconds
        self._segment, self._outputs = segment, list(dict.fromkeys(outputs))
        self._all_topics, self._storage, self._quiet = all_topics, storage, quiet
        self._confidence = any(output_of(name).needs_confidence for name in outputs)
        self._style, self._groups = Style(), Groups.fitting(segment.labels)
        self._backends: dict[Kind, str] = {}
        for name in self._outputs:
            if output_of(name).needs_groups and self._groups is None:
                raise ArgumentError(
                    f"no {name}: no built-in groups fit the classes"
                    f" {', '.join(segment.labels.names)}"
                )

    def __call__(
        self, source: Path, out: Path, asked: Sequence[str] = (), resume: bool = False
    ) -> Report:
        """Labels a bag. `asked`: topics as `find_cameras` takes them. Raises BagError, FileError.

        Frames that cannot be read are left out, and named in the report. With `resume` what was
        begun goes on, and of a bag that was labelled so already the report is given.
        """
        with Recording(source) as recording:
            cameras = find_cameras(recording, asked)
            same = self._recipe(recording, cameras)
            if resume and out.exists():
                journal = read_journal(out, (out / JOURNAL).read_bytes)
                refuse_others(out, journal, same)
                return Report(**journal["notes"])
            made, copied = self._made(cameras), self._copied(recording)
            channels, along = [*made, *copied], {channel.topic for channel in copied}
            if taken := along & {channel.topic for channel in made}:
                raise BagError(
                    f"{source} has {', '.join(sorted(taken))} already: give other names, with"
                    " --topics NAME=TOPIC"
                )
            told = partial(label_info_message, self._segment.labels)
            latched = {f"{camera.prefix}/label_info": told for camera in cameras}
            bag = Parts(out, self._storage, channels, same, latched, resume, self._part_seconds)
            with bag:
                report = Report(**bag.notes)
                if bag.is_new and self._all_topics:
                    left = recording.topics.keys() - along
                    report.flaws += [
                        f"{name} is left out: it has no messages of ROS 2" for name in left
                    ]
                self._label(recording, cameras, along, bag, report)
        return report

    def _label(
        self,
        recording: Recording,
        cameras: Sequence[Camera],
        copied: Collection[str],
        bag: Parts,
        report: Report,
    ) -> None:
        def write(step: Step, result: Segmentation | None) -> None:
            for other in step.others:
                bag.write(other.topic.name, other.time_ns, other.data)
            if step.flaw:
                report.refuse(step.flaw)
            elif result is not None:
                report.frames += 1
                self._write(step, result, bag)
            report.note(recording.flaws)
            bag.reached(step.position, vars(report))

        def kind_of(step: Step) -> Kind | None:
            return None if step.frame is None else step.frame.kind

        def compute(alike: Sequence[Step]) -> list[Segmentation]:
            return self._segmented([step.frame for step in alike if step.frame], report)

        def finish() -> None:
            report.note(recording.flaws)
            bag.finish(vars(report))

        read = steps(recording, cameras, copied, bag.after)
        batch = batch_on(self._segment.device)
        bar = tqdm(
            total=count_frames(recording, cameras),
            initial=report.frames + report.damaged,
            unit="frame",
            desc=f"labelling {recording.path.name}",
            disable=self._quiet,
        )
        with bar, ReadAhead(read, batch) as ready, WriteBehind(batch) as behind:
            # All from one thread, as sqlite3 wants it.
            for step, result in batched(ready, kind_of, compute, batch):
                behind(partial(write, step, result))
                bar.update(step.message is not None)
            behind(finish)

    def _segmented(self, frames: Sequence[Frame], report: Report) -> list[Segmentation]:
        """Of frames of one kind, always as one full batch by the backend that is best for it.

        Then no frame's labels depend on its neighbours, or on where the labelling was taken up.
        """
        frame, count = frames[0], batch_on(self._segment.device)
        spec = self._segment.spec(
            frame.height, frame.width, frame.encoding, self._confidence, count, frame.rotation
        )
        if frame.kind not in self._backends:
            self._backends[frame.kind] = self._segment.compile(spec)
        backend, kind = self._backends[frame.kind], spec.title()
        before = report.backends.get(kind, backend)
        # Another dictionary: a thread may be writing the one that was there.
        report.backends = {**report.backends, kind: before}
        if backend != before:
            raise BagError(
                f"{kind}: the frames of before were labelled by {before}, and these would be by"
                f" {backend}: give --backend {before}, or begin anew"
            )
        filled = [*frames, *[frames[-1]] * (count - len(frames))]
        return self._segment.segment(filled, self._confidence)[: len(frames)]

    def _write(self, step: Step, result: Segmentation, bag: Parts) -> None:
        assert step.camera is not None and step.message is not None
        known = replace(result, groups=self._groups)
        for name in self._outputs:
            pixels = output_of(name).pixels(known, self._style)
            assert pixels is not None
            message = output_message(name, pixels, step.image.header)
            bag.write(f"{step.camera.prefix}/{name}", step.message.time_ns, message)

    def _made(self, cameras: Sequence[Camera]) -> list[Channel]:
        return [
            channel
            for camera in cameras
            for channel in (
                label_info_channel(camera.prefix),
                *(output_channel(camera.prefix, name) for name in self._outputs),
            )
        ]

    def _copied(self, recording: Recording) -> list[Channel]:
        topics = recording.topics.values() if self._all_topics else ()
        return [channel for topic in topics if (channel := copied_channel(topic)) is not None]

    def _recipe(self, recording: Recording, cameras: Sequence[Camera]) -> dict[str, Any]:
        """What has to be equal where a labelling goes on."""
        spec = self._segment.spec(480, 640)
        counts = {name: topic.count for name, topic in recording.topics.items()}
        return {
            "source": [recording.path.name, recording.start_ns, recording.end_ns, counts],
            "topics": {camera.topic: camera.prefix for camera in cameras},
            **recipe(self._outputs, self._all_topics, self._storage, self._segment.job(spec).path),
            "size": self._segment.size,
            "precision": self._segment.precision,
        }
