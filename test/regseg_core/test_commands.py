"""Images and videos in and out, through the commands that people call."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from films import cut, write_film

from regseg_core import Segmenter, predict
from regseg_core.arrays import Image
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.media import (
    VideoWriter,
    read_image,
    read_video,
    write_image,
)


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


def test_predict_writes_what_half_a_film_holds_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = cut(write_film(tmp_path / "film.mp4"), 0.3)
    with pytest.raises(SystemExit) as ended:
        predict.main([str(film), "-o", str(tmp_path / "out.mp4")])
    written = len(list(read_video(tmp_path / "out.mp4")))
    assert ended.value.code == f"error: {film} is cut off: {written} of 30 frames could be read"
    assert written > 2 and f"wrote {tmp_path / 'out.mp4'}" in capsys.readouterr().out


def test_predict_looks_first_where_it_writes(
    tmp_path: Path, street: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", street)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(predict, "make_segmenter", lambda _: pytest.fail("work has begun"))
    below, good = str(tmp_path / "file" / "out"), str(tmp_path / "out")
    for places in (["-o", below], ["-o", good, "--labels-out", below]):
        with pytest.raises(SystemExit, match=r"error: cannot write into .*file"):
            predict.main([str(tmp_path / "a.png"), *places])
