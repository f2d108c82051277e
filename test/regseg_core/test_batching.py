"""Items of several kinds: full batches of one kind, in order, with no more waiting than allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import bags
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regseg_core import Segmenter
from regseg_core.bag import label
from regseg_core.bag.label import Labelling
from regseg_core.bag.recording import Recording
from regseg_core.batching import MIXED, batched
from regseg_core.frame import Frame
from regseg_core.media import MediaError
from regseg_core.segmentation import Segmentation


def upper(items: Sequence[str]) -> list[str]:
    assert len({*items}) == 1, "of several kinds"
    return [item.upper() for item in items]


def kind_of(item: str) -> str | None:
    return None if item == "-" else item


@settings(max_examples=200, deadline=None)
@given(st.text("abcdef-", max_size=60), st.integers(1, 4))
def test_everything_comes_in_order_and_nothing_waits_too_long(text: str, batch: int) -> None:
    taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        for item in text:
            taken += 1
            yield item

    for number, (item, result) in enumerate(batched(source(), kind_of, upper, batch)):
        assert item == text[number]
        assert result == (None if item == "-" else item.upper())
        assert taken - number <= MIXED * batch + 1
    assert taken == len(text)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("ab" * 8, [4, 4, 4, 4]),
        ("abcd" * 8, [4] * 8),
        ("a--b-" * 4, [4, 4]),
        ("a" * 6, [4, 2]),
        ("a" + "b" * 17, [4, 4, 4, 4, 1, 1]),
        ("---", []),
    ],
)
def test_batches_are_full_while_few_kinds_take_turns(text: str, sizes: list[int]) -> None:
    found = []

    def compute(items: Sequence[str]) -> list[str]:
        found.append(len(items))
        return upper(items)

    assert len([*batched(text, kind_of, compute, 4)]) == len(text)
    assert found == sizes


def test_what_cannot_be_read_is_raised_after_all_before_it() -> None:
    def source() -> Iterator[str]:
        yield from "aba-"
        raise MediaError("the next one is broken")

    found = []
    with pytest.raises(MediaError, match="the next one is broken"):
        for _, result in batched(source(), kind_of, upper, 4):
            found.append(result)
    assert found == ["A", "B", "A", None]


def test_of_two_errors_that_of_the_earlier_item_is_raised() -> None:
    def source() -> Iterator[int]:
        yield 0
        raise MediaError("the next one is broken")

    with pytest.raises(ZeroDivisionError):
        [*batched(source(), lambda _: "all", lambda items: [1 / item for item in items], 4)]


def everything(bag: Path) -> list[tuple[str, int, bytes]]:
    with Recording(bag) as recording:
        return [(m.topic.name, m.time_ns, m.data) for m in recording.messages()]


def test_in_batches_a_bag_is_as_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cameras of two kinds take turns, as on a GPU that is best at four images at once."""
    drive = bags.drive(5, (96, 64))
    drive[3] = drive[3]._replace(data=drive[3].data[:90])
    source = bags.write_bag(tmp_path / "drive", drive)
    sizes: list[int] = []

    class Counting(Segmenter):
        def segment(self, frames: Sequence[Frame], confidence: bool = False) -> list[Segmentation]:
            sizes.append(len({id(frame) for frame in frames}))
            assert len(frames) == batch
            return super().segment(frames, confidence)

    counting = Counting(device="cpu", precision="float32", backend="eager")
    for batch in (1, 4):
        monkeypatch.setattr(label, "batch_on", lambda _, batch=batch: batch)
        labelling = Labelling(counting, ["label"], all_topics=True, quiet=True)
        report = labelling(source, tmp_path / str(batch))
        assert (report.frames, report.damaged) == (9, 1)
    assert sizes == [1] * 9 + [4, 4, 1]
    ones, fours = (everything(tmp_path / name) for name in "14")
    assert [m[:2] for m in ones] == [m[:2] for m in fours]
    for one, four in zip(ones, fours, strict=True):
        # As near as PyTorch's sums are in another order.
        assert np.mean([a == b for a, b in zip(one[2], four[2], strict=True)]) > 0.999
