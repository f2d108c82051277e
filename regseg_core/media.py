"""Images and videos on disk: reading them frame by frame, writing them whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from regseg_core.arrays import Image
from regseg_core.containers import is_cut_off
from regseg_core.files import FileError, write_bytes

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})

#: How a file or message with a JPEG begins.
JPEG_START = b"\xff\xd8\xff"

#: Reads RGB at once; OpenCV has it from 4.11 on, distributions have older ones.
_READ_RGB: int | None = getattr(cv2, "IMREAD_COLOR_RGB", None)


class MediaError(FileError):
    """An image or video that cannot be read or written, with its path."""


class CutOffError(MediaError):
    """A video that ends early, with how many of its frames were read."""


def read_image(path: str | Path) -> Image:
    """H x W x 3 uint8 RGB. Raises MediaError where there is no readable image."""
    try:
        data = cv2.imread(str(path), _READ_RGB or cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than it reads
        raise MediaError(f"{path} is not a readable image: {error.err}") from error
    if data is None:
        raise MediaError(f"{path} is not a readable image")
    if _READ_RGB is None:
        data = cv2.cvtColor(data, cv2.COLOR_BGR2RGB)
    return data.astype(np.uint8, copy=False)


def write_image(path: str | Path, image: Image) -> None:
    """Writes H x W x 3 uint8 RGB or H x W uint8 in the format of the suffix, beside and renamed.

    Raises MediaError for a suffix that names no format, and FileError; a file that was there is
    then still whole.
    """
    path = Path(path)
    data = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    try:
        encoded, buffer = cv2.imencode(path.suffix, data)
    except cv2.error as error:
        raise MediaError(f"{path}: no image format for suffix {path.suffix!r}") from error
    if not encoded:
        raise MediaError(f"{path}: the image could not be encoded")
    write_bytes(path, buffer.tobytes())


def holds_images(folder: Path) -> bool:
    """Whether there are images directly in a folder."""
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def list_images(folder: str | Path) -> list[Path]:
    """The images directly in a folder, by name. Raises MediaError where there are none."""
    paths = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise MediaError(f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")
    return paths


def read_video(source: str | Path | int) -> Iterator[Image]:
    """Frames of a video, or of the camera device of that number: H x W x 3 uint8 RGB.

    Raises MediaError where it cannot be opened or holds no frame; CutOffError, after the last frame
    that could be read, where the file ends before the video does.
    """
    capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    try:
        if not capture.isOpened():
            if isinstance(source, int):
                raise MediaError(f"camera device {source} is not a readable camera")
            cut = "; the file is cut off" if is_cut_off(source) else ""
            raise MediaError(f"{source} is not a readable video, image or camera{cut}")
        count = 0
        while True:
            good, frame = capture.read()
            if not good:
                break
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        if not count:
            raise MediaError(f"{source} holds no frame")
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if count < total and not isinstance(source, int) and is_cut_off(source):
            raise CutOffError(f"{source} is cut off: {count} of {total} frames could be read")
    finally:
        capture.release()


def video_rate(path: str | Path) -> float:
    """Frames a second of a video, 25 where the file does not say."""
    capture = cv2.VideoCapture(str(path))
    try:
        rate = float(capture.get(cv2.CAP_PROP_FPS))
    finally:
        capture.release()
    return rate if 0 < rate < 1000 else 25.0


class VideoWriter:
    """Writes an H.264 video that browsers play; the file appears when the writer closes.

    Use as a context manager; on an exception no file is left. The size is that of the first frame
    (odd sizes lose a row or column, as H.264 wants even ones); later frames are resized to it.
    Raises MediaError.
    """

    def __init__(self, path: str | Path, frame_rate: float) -> None:
        try:
            # Here, so that nodes run without it where ROS comes from apt.
            import av
        except ImportError as error:
            raise MediaError(f"writing a video needs PyAV: pip install av ({error})") from error

        self._new_frame, self._codec_error = av.VideoFrame.from_ndarray, av.FFmpegError
        self.path = Path(path)
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial.mp4")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The index in front lets a browser play before it has the whole file.
            self._container = av.open(
                str(self._partial), "w", format="mp4", options={"movflags": "faststart"}
            )
        except (OSError, self._codec_error) as error:
            raise MediaError(f"cannot write {self.path}: {error}") from error
        rate = Fraction(frame_rate).limit_denominator(1000)
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.pix_fmt = "yuv420p"
        # As good as `veryfast` at crf 20, for a sixth more bytes and a third less of the processor.
        self._stream.options = {"crf": "22", "preset": "superfast"}
        self._size: tuple[int, int] | None = None

    def write(self, image: Image) -> None:
        """Appends H x W x 3 uint8 RGB."""
        if self._size is None:
            self._size = (max(2, image.shape[1] // 2 * 2), max(2, image.shape[0] // 2 * 2))
            self._stream.width, self._stream.height = self._size
        width, height = self._size
        if image.shape[0] // 2 * 2 == height and image.shape[1] // 2 * 2 == width:
            image = image[:height, :width]
        else:
            image = cv2.resize(image, self._size).astype(np.uint8, copy=False)
        frame = self._new_frame(np.ascontiguousarray(image), format="rgb24")
        try:
            self._container.mux(self._stream.encode(frame))
        except (OSError, self._codec_error) as error:
            raise MediaError(f"cannot write {self.path}: {error}") from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._size is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if kind is None and self._size is not None:
                self._partial.replace(self.path)
        except (OSError, self._codec_error) as error:
            raise MediaError(f"cannot write {self.path}: {error}") from error
        finally:
            self._partial.unlink(missing_ok=True)
