"""Reading, computing and writing at the same time: in order, bounded, ended with their caller."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from regseg_core import Segmenter, pipelining, predict
from regseg_core.arrays import Image
from regseg_core.data.synthetic import SyntheticStreet
from regseg_core.files import FileError
from regseg_core.frame import Frame
from regseg_core.media import MediaError, VideoWriter, read_video, write_image
from regseg_core.pipelining import WAITING, WriteBehind, batch_on, pipelined, segmented

#: Seconds after which a thread that is waited for will never come.
LIMIT = 20.0


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"reading ahead", "writing behind"}


def doubled(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def broken(count: int) -> Iterator[int]:
    yield from range(count)
    raise MediaError("the next one is broken")


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_results_come_in_order_and_every_batch_is_as_large_as_the_first(
    count: int, batch: int
) -> None:
    batches = []

    def compute(items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        return doubled(items)

    with pipelined(range(count), compute, batch) as results:
        assert list(results) == [(item, 2 * item) for item in range(count)]
    assert batches == [min(batch, count)] * -(-count // batch)


@pytest.mark.parametrize("batch", [1, 4])
def test_what_cannot_be_read_is_raised_after_all_before_it(batch: int) -> None:
    found = []
    with (
        pytest.raises(MediaError, match="the next one is broken"),
        pipelined(broken(6), doubled, batch) as results,
    ):
        for _, result in results:
            found.append(result)
    assert found == [0, 2, 4, 6, 8, 10]


def test_what_cannot_be_computed_is_raised_where_it_was_asked_for() -> None:
    def compute(items: Sequence[int]) -> list[float]:
        return [1 / (2 - item) for item in items]

    found = []
    with pytest.raises(ZeroDivisionError), pipelined(range(9), compute) as results:
        for _, result in results:
            found.append(result)
    assert found == [1 / 2, 1]


def test_the_next_are_read_while_one_is_computed_and_no_more_than_that() -> None:
    read, far, batch = 0, threading.Event(), 3
    most = batch + WAITING * batch + 1  # computed, waiting, and the one that finds no room

    def items() -> Iterator[int]:
        nonlocal read
        for item in range(100):
            read = item + 1
            if read == most:
                far.set()
            yield item

    def compute(group: Sequence[int]) -> list[int]:
        assert far.wait(LIMIT), "nothing is read while it computes"
        assert read <= group[0] + most
        return doubled(group)

    with pipelined(items(), compute, batch) as results:
        assert [result for _, result in results] == doubled(range(100))


class Counted:
    """Knows how many of its kind there are."""

    alive = 0

    def __init__(self) -> None:
        Counted.alive += 1

    def __del__(self) -> None:
        Counted.alive -= 1


def test_a_slow_disk_stops_the_reader_and_frames_do_not_heap_up() -> None:
    # In the reader's hand, waiting, at the caller's, waiting again, and being written.
    made, most, stuck = 0, 1 + WAITING + 1 + WAITING + 1, threading.Event()
    alive = []

    def frames() -> Iterator[Counted]:
        nonlocal made
        for made in range(1, 41):
            if made == most:
                stuck.set()
            yield Counted()

    def write(frame: Counted) -> None:
        assert stuck.wait(LIMIT), "nothing is read while it writes"
        alive.append(Counted.alive)

    with pipelined(frames(), list) as results, WriteBehind() as behind:
        for frame, _ in results:
            behind(partial(write, frame))
            del frame
    assert len(alive) == 40 and most - 1 <= max(alive) <= most + 1


def test_calls_are_done_in_order_before_the_end_also_that_by_an_error() -> None:
    done: list[int] = []
    with pytest.raises(MediaError), WriteBehind() as behind:
        for item in broken(30):
            behind(partial(done.append, item))
    assert done == list(range(30))


def test_what_cannot_be_written_is_raised_and_nothing_is_written_after_it() -> None:
    done: list[int] = []

    def write(item: int) -> None:
        if item == 3:
            raise FileError("the disk is full")
        done.append(item)

    for count in (4, 1000):  # at the end, and by a call that comes later
        done.clear()
        with pytest.raises(FileError, match="the disk is full"), WriteBehind() as behind:
            for item in range(count):
                behind(partial(write, item))
        assert done == [0, 1, 2]


def test_of_two_errors_that_of_the_earlier_frame_is_raised() -> None:
    def write() -> None:
        raise FileError("the disk is full")

    with (
        pytest.raises(FileError, match="the disk is full"),
        pipelined(broken(2), doubled) as results,
        WriteBehind() as behind,
    ):
        for _ in results:
            behind(write)


def test_an_interruption_drops_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, closed, done = threading.Event(), threading.Event(), []
    close: Callable[..., None] = pipelining._Channel.close

    def close_and_say_so(channel: pipelining._Channel[object], drop: bool = False) -> None:
        close(channel, drop)
        closed.set()

    def write() -> None:
        begun.set()
        assert closed.wait(LIMIT)
        done.append(True)

    monkeypatch.setattr(pipelining._Channel, "close", close_and_say_so)
    with pytest.raises(KeyboardInterrupt), WriteBehind() as behind:
        for _ in range(1 + WAITING):
            behind(write)
            assert begun.wait(LIMIT)
        raise KeyboardInterrupt
    assert done == [True]


def test_only_a_gpu_is_given_several_images_at_once() -> None:
    assert batch_on(torch.device("cpu")) == 1 < batch_on(torch.device("cuda"))


def test_frames_of_sizes_that_alternate_keep_their_order_in_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipelining, "batch_on", lambda _: 4)
    segment = Segmenter(precision="float32", backend="eager")
    sizes = [(96, 64), (64, 96), (96, 64), (96, 64), (64, 96), (80, 64)]
    images = [SyntheticStreet(*size).frame(step)[0] for step, size in enumerate(sizes)]
    keyed = [(number, Frame.of(image, "rgb8")) for number, image in enumerate(images)]
    with segmented(segment, keyed) as results:
        found = list(results)
    assert [number for number, _ in found] == list(range(6))
    for (_, result), image in zip(found, images, strict=True):
        assert result.frame.pixels is image
        # As near as PyTorch's sums are in another order.
        assert (result.labels == segment(image, "rgb8").labels).mean() > 0.999


def test_predict_in_batches_writes_what_it_writes_one_by_one(
    tmp_path: Path, street: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        write_image(tmp_path / "in" / f"{number}.png", np.roll(street, 40 * number, axis=1))
    (tmp_path / "in" / "3.png").write_bytes(b"broken")
    for out, batch in (("one", 1), ("batches", 4)):
        monkeypatch.setattr(pipelining, "batch_on", lambda _, batch=batch: batch)
        with pytest.raises(SystemExit, match=r"error: .*3\.png is not a readable image"):
            places = f"{tmp_path / 'in'} -o {tmp_path / 'out'} --labels-out {tmp_path / out}"
            predict.main([*places.split(), "--precision", "float32"])
    for path in (tmp_path / "one").iterdir():
        one, batched = (
            cv2.imread(str(tmp_path / out / path.name), cv2.IMREAD_UNCHANGED)
            for out in ("one", "batches")
        )
        assert (one == batched).mean() > 0.999
    assert len(list((tmp_path / "batches").iterdir())) == 6


def film(path: Path, frames: int) -> Path:
    with VideoWriter(path, 10) as video:
        for step in range(frames):
            video.write(SyntheticStreet(160, 120).frame(step / 10)[0])
    return path


def test_a_film_is_not_there_where_a_frame_of_it_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, labels = film(tmp_path / "in.mp4", 12), tmp_path / "labels"

    def write(path: Path, image: Image) -> None:
        if path.name == "in_000003.png":
            raise FileError(f"cannot write {path}: the disk is full")
        write_image(path, image)

    monkeypatch.setattr(predict, "write_image", write)
    with pytest.raises(SystemExit, match=r"error: cannot write .*in_000003\.png: the disk is full"):
        predict.main(
            [str(source), "-o", str(tmp_path / "out" / "a.mp4"), "--labels-out", str(labels)]
        )
    assert sorted(path.name for path in labels.iterdir()) == [f"in_00000{n}.png" for n in range(3)]
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupted_prediction_ends_with_no_film_and_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, calls = film(tmp_path / "in.mp4", 12), []
    segment = Segmenter.segment

    def interrupted(self: Segmenter, frames: Sequence[Frame]) -> object:
        calls.append(len(frames))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return segment(self, frames)

    monkeypatch.setattr(Segmenter, "segment", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict.main([str(source), "-o", str(tmp_path / "out" / "a.mp4")])
    assert list((tmp_path / "out").iterdir()) == []
    assert len(list(read_video(source))) == 12
