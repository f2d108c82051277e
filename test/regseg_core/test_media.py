"""Images and videos on disk: read whole, or said not to be."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from films import cut, write_film

from regseg_core.arrays import Image
from regseg_core.containers import is_cut_off
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.media import (
    CutOffError,
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


def test_half_a_film_is_read_as_far_as_it_goes_and_said_to_be_one(tmp_path: Path) -> None:
    film = cut(write_film(tmp_path / "film.mp4"), 0.6)
    frames: list[Image] = []
    with pytest.raises(CutOffError, match=r"film\.mp4 is cut off: (\d+) of 30 frames") as caught:
        frames.extend(read_video(film))
    assert 5 < len(frames) < 25
    assert f"{len(frames)} of 30" in str(caught.value)


def test_a_film_whose_index_is_cut_off_is_said_to_be_so(tmp_path: Path) -> None:
    film = cut(write_film(tmp_path / "film.mp4"), 0.01)
    with pytest.raises(MediaError, match=r"not a readable video.*; the file is cut off"):
        next(read_video(film))


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "libx264"), ("avi", "mpeg4")])
def test_other_containers_that_are_cut_off_are_known(
    suffix: str, codec: str, tmp_path: Path
) -> None:
    film = tmp_path / f"film.{suffix}"
    with av.open(str(film), "w") as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for step in range(30):
            image, _ = SyntheticStreet(160, 120).frame(step / 10)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    assert len(list(read_video(film))) == 30 and not is_cut_off(film)
    cut(film, 0.7)
    assert is_cut_off(film)
    with pytest.raises(CutOffError, match="frames could be read"):
        list(read_video(film))


def test_a_film_that_was_trimmed_is_whole(tmp_path: Path) -> None:
    """Its container also counts the frames that its edit list takes out."""
    trimmed = tmp_path / "trimmed.mp4"
    with (
        av.open(str(write_film(tmp_path / "film.mp4"))) as source,
        av.open(str(trimmed), "w") as target,
    ):
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                early = round(1.05 / packet.time_base)
                packet.pts, packet.dts = packet.pts - early, packet.dts - early
                packet.stream = copy
                target.mux(packet)
    assert 10 < len(list(read_video(trimmed))) < 25
