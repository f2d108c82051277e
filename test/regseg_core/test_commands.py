"""Images and videos in and out, through the commands that people call."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from regseg_core import Segmenter, predict
from regseg_core.arrays import Image
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.media import (
    MediaError,
    VideoWriter,
    list_images,
    read_image,
    read_video,
    write_image,
)


def test_pictures_keep_their_pixels(tmp_path: Path, street: Image) -> None:
    write_image(tmp_path / "sub" / "a.png", street)
    assert np.array_equal(read_image(tmp_path / "sub" / "a.png"), street)
    with pytest.raises(MediaError, match="not a readable image"):
        read_image(tmp_path / "none.png")
    with pytest.raises(MediaError, match=r"suffix '\.xyz'"):
        write_image(tmp_path / "a.xyz", street)
    with pytest.raises(MediaError, match="no images"):
        list_images(tmp_path)


def test_films_are_h264_and_keep_their_frames(tmp_path: Path) -> None:
    frames = [SyntheticStreet(161, 121).frame(t / 10)[0] for t in range(6)]
    with VideoWriter(tmp_path / "video.mp4", 10) as video:
        for frame in frames:
            video.write(frame)
    with av.open(str(tmp_path / "video.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 10
    read = list(read_video(tmp_path / "video.mp4"))
    assert len(read) == 6
    assert all(
        np.abs(a[:120, :160].astype(int) - b).mean() < 12 for a, b in zip(frames, read, strict=True)
    )


def test_an_interrupted_film_leaves_nothing(tmp_path: Path, street: Image) -> None:
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "video.mp4", 10) as video:
        video.write(street)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_film_is_explained(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError, match=r"text\.mp4 is not a readable video"):
        next(read_video(tmp_path / "text.mp4"))


def test_predict_a_picture(tmp_path: Path, street: Image) -> None:
    write_image(tmp_path / "in.png", street)
    predict.main([str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")])
    expected = Segmenter()(street, "rgb8").overlay(0.5)
    assert np.array_equal(read_image(tmp_path / "out.png"), expected)


def test_predict_a_folder_goes_on_after_a_bad_picture(tmp_path: Path, street: Image) -> None:
    for name in ("a.png", "c.png"):
        write_image(tmp_path / "in" / name, street)
    (tmp_path / "in" / "b.png").write_bytes(b"broken")
    out, labels = tmp_path / "out", tmp_path / "labels"
    with pytest.raises(SystemExit, match=r"error: .*b\.png is not a readable image"):
        predict.main([str(tmp_path / "in"), "-o", str(out), "--labels-out", str(labels)])
    assert sorted(p.name for p in out.iterdir()) == ["a.png", "c.png"]
    written = cv2.imread(str(labels / "a.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(written, Segmenter()(street, "rgb8").labels)


def test_predict_a_film(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "in.mp4", 12) as video:
        for step in range(4):
            video.write(SyntheticStreet(160, 120).frame(step / 12)[0])
    labels = tmp_path / "labels"
    out = tmp_path / "out"
    predict.main([str(tmp_path / "in.mp4"), "-o", str(out), "--labels-out", str(labels)])
    assert len(list(read_video(out / "in.mp4"))) == 4
    assert sorted(p.name for p in labels.iterdir())[-1] == "in_000003.png"


def test_predict_never_writes_over_its_input(tmp_path: Path, street: Image) -> None:
    write_image(tmp_path / "a.png", street)
    for out in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(SystemExit, match=r"would be overwritten"):
            predict.main([str(tmp_path / "a.png"), "-o", str(out)])
    with pytest.raises(SystemExit, match=r"would be overwritten"):
        predict.main([str(tmp_path), "-o", str(tmp_path / "new"), "--labels-out", str(tmp_path)])
    assert np.array_equal(read_image(tmp_path / "a.png"), street)


def test_predict_never_writes_one_result_over_another(tmp_path: Path, street: Image) -> None:
    folder, out = tmp_path / "in", str(tmp_path / "out")
    for name in ("a.png", "a.jpg"):
        write_image(folder / name, street)
    with pytest.raises(SystemExit, match=r"out/a\.png would be written 2 times"):
        predict.main([str(folder), "-o", out])
    with pytest.raises(SystemExit, match=r"out/a\.png would be written 2 times"):
        predict.main([str(folder / "a.jpg"), "-o", out, "--labels-out", out])
    with pytest.raises(SystemExit, match=r"ends with \.png"):
        predict.main([str(folder / "a.jpg"), "-o", str(tmp_path / "a.mp4")])


def test_predict_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: there is no"):
        predict.main([str(tmp_path / "none.png"), "-o", str(tmp_path)])
