"""Bags -> a pool of frames that are worth labelling, as they were recorded."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bags
import cv2
import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image as PILImage

from regseg_core import Segmenter
from regseg_core.annotation.pool import Pool
from regseg_core.bag.__main__ import main
from regseg_core.bag.mine import SHEET, mine
from regseg_core.bag.recording import Recording
from regseg_core.errors import ArgumentError
from regseg_core.frame import Frame
from regseg_core.media import read_image
from regseg_core.segmentation import Segmentation

SIZE = (96, 64)


def test_frames_of_all_bags_come_as_they_were_recorded(segment: Segmenter, tmp_path: Path) -> None:
    drives = [
        bags.write_bag(tmp_path / day / "drive", bags.drive(6, SIZE, rate=1.0, seed=seed))
        for day, seed in (("monday", 1), ("tuesday", 2))
    ]
    pool = tmp_path / "pool"
    mined = mine(segment, drives, pool, count=8, by="entropy", min_distance=0.0)
    assert mined.title == "chose 8 of 24 frames" and not mined.flaws
    rows = [*csv.DictReader((pool / "why.csv").open())]
    assert [int(row["rank"]) for row in rows] == [*range(1, 9)]
    assert {row["bag"] for row in rows} == {str(drive) for drive in drives}
    images = Pool.open(pool)
    assert {*images.names} == {row["name"] for row in rows}
    for row in rows:
        number = images.names.index(row["name"])
        with Recording(row["bag"]) as recording:
            messages = recording.messages([row["camera"]])
            [message] = [m for m in messages if m.time_ns == int(row["time_ns"])]
            recorded = recording.deserialize(message)
        if row["camera"] == bags.REAR:
            assert images.image_path(number).read_bytes() == bytes(recorded.data)
            seen = segment(cv2.imdecode(recorded.data, cv2.IMREAD_COLOR).astype(np.uint8))
        else:
            pixels = np.asarray(recorded.data).reshape(SIZE[1], SIZE[0], 3)
            assert np.array_equal(read_image(images.image_path(number)), pixels)
            seen = segment(pixels, "rgb8")
        assert np.array_equal(images.label(number), segment.labels.to_indices(seen.labels))
    assert min(read_image(pool / SHEET).shape[:2]) > 300


def test_what_cannot_be_read_is_named_and_the_rest_is_mined(tmp_path: Path) -> None:
    drive = [m for m in bags.drive(4, SIZE, rate=1.0) if m.topic == bags.REAR]
    drive[2] = drive[2]._replace(data=drive[2].data[:200])
    source = bags.write_bag(tmp_path / "drive", drive)
    command = f"mine {source} --device cpu --count 9 --min-distance 0 --out {tmp_path / 'pool'}"
    with pytest.raises(SystemExit, match=rf"^error: {bags.REAR} at 1700000002\.0") as ended:
        main(command.split())
    assert str(ended.value).count("\n") == 0
    assert len(Pool.open(tmp_path / "pool")) == 3
    with pytest.raises(SystemExit, match="exists, and cannot be made anew: give another"):
        main(command.split())


def test_what_cannot_be_read_is_named_as_far_as_anybody_reads(
    segment: Segmenter, tmp_path: Path
) -> None:
    drive = [m for m in bags.drive(3, (40, 32)) if m.topic == bags.REAR]
    cut = drive[2]._replace(data=drive[2].data[:200])
    drive += [cut._replace(time_ns=cut.time_ns + number) for number in range(1, 128)]
    source = bags.write_bag(tmp_path / "drive", drive)
    mined = mine(segment, [source], tmp_path / "pool", 3, "entropy", min_distance=0.0)
    assert mined.title == "chose 3 of 3 frames, 127 damaged messages left out"
    assert len(mined.flaws) == 100


def test_a_camera_whose_jpegs_are_turned_by_exif_data(segment: Segmenter, tmp_path: Path) -> None:
    """Labels are of the pixels as the camera sent them: so is the image of the pool."""
    [message] = [m for m in bags.drive(1, SIZE) if m.topic == bags.REAR]
    image: Any = bags.TYPES.deserialize_cdr(message.data, message.msgtype)
    with PILImage.open(io.BytesIO(bytes(image.data))) as upright:
        exif = upright.getexif()
        exif[ExifTags.Base.Orientation] = 6
        file = io.BytesIO()
        upright.save(file, "JPEG", exif=exif, quality=95)
    turned = np.frombuffer(file.getvalue(), np.uint8)
    data = bags.TYPES.serialize_cdr(dataclasses.replace(image, data=turned), message.msgtype)
    source = bags.write_bag(tmp_path / "drive", [message._replace(data=bytes(data))])
    mine(segment, [source], tmp_path / "pool", 1, "entropy", min_distance=0.0)
    pool = Pool.open(tmp_path / "pool")
    pixels = cv2.imdecode(turned, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert np.array_equal(read_image(pool.image_path(0)), pixels[..., ::-1])
    assert pool.label(0).shape == SIZE[::-1]


def test_frames_of_one_time_are_all_told_apart(segment: Segmenter, tmp_path: Path) -> None:
    """Recorded with a simulator's clock, which is slower than its cameras."""
    drive = [m for m in bags.drive(6, SIZE) if m.topic == bags.REAR]
    drive = [m._replace(time_ns=bags.BEGIN_NS + n // 3) for n, m in enumerate(drive)]
    source = bags.write_bag(tmp_path / "drive", drive)
    mine(segment, [source], tmp_path / "pool", 6, "entropy", min_distance=0.0)
    pool = Pool.open(tmp_path / "pool")
    names = [row["name"] for row in csv.DictReader((tmp_path / "pool/why.csv").open())]
    assert len(names) == 6 and sorted(names) == [*pool.names]
    with Recording(source) as recording:
        sent = {bytes(recording.deserialize(m).data) for m in recording.messages()}
    assert {pool.image_path(number).read_bytes() for number in range(6)} == sent


def test_a_pool_goes_where_a_link_leads(
    segment: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, disk = bags.write_bag(tmp_path / "drive", bags.drive(1, SIZE)), tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "link").symlink_to(disk)
    mine(segment, [source], tmp_path / "link", 2, "entropy", 0.0)
    assert len(Pool.open(disk)) == 2
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ArgumentError, match="here exists, and cannot be made anew"):
        mine(segment, [source], Path(), 2, "entropy", 0.0)


class Interrupted(Segmenter):
    """By its user, when it has looked at all frames."""

    def segment(self, frames: Sequence[Frame], confidence: bool = False) -> list[Segmentation]:
        raise KeyboardInterrupt


def test_a_pool_is_whole_or_not_there(segment: Segmenter, tmp_path: Path) -> None:
    source, pool = bags.write_bag(tmp_path / "drive", bags.drive(1, SIZE)), tmp_path / "pool"
    with pytest.raises(KeyboardInterrupt):
        mine(Interrupted(device="cpu", backend="eager"), [source], pool, 2, "entropy", 0.0)
    assert [*tmp_path.iterdir()] == [source]
    half = tmp_path / ".pool.partial/images/train"  # of a run that was killed
    half.mkdir(parents=True)
    pool.mkdir()
    mine(segment, [source], pool, 2, "entropy", 0.0)
    assert len(Pool.open(pool)) == 2 and {*tmp_path.iterdir()} == {source, pool}
