"""Reading ahead and writing behind: what comes before and after the network runs beside it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, TypeVar

import torch

from regseg_core.frame import Frame
from regseg_core.segmentation import Segmentation
from regseg_core.segmenter import Segmenter

Key = TypeVar("Key")
Item = TypeVar("Item")
Result = TypeVar("Result")

#: Batches that wait to be computed, and as many results to be written: enough for a slow one.
WAITING = 2


def batch_on(device: torch.device) -> int:
    """How many images at once a device is best at; on a CPU several take as long as in turn."""
    return 4 if device.type == "cuda" else 1


@contextmanager
def pipelined(
    items: Iterable[Item], compute: Callable[[Sequence[Item]], Sequence[Result]], batch: int = 1
) -> Iterator[Iterator[tuple[Item, Result]]]:
    """Each item with what `compute` makes of it, in order; the next items are read meanwhile.

    `items` is iterated in a thread, at most WAITING batches ahead, and `compute` called in the
    caller's, with `batch` items. Fewer remain at the end: after a full batch they are filled up
    with the last one, as another size might have to be compiled. What `items` raises is raised
    after the results of all before it. The thread ends with the context.
    """
    with ReadAhead(items, batch) as ready:
        yield _computed(ready, compute, batch)


@contextmanager
def segmented(
    segment: Segmenter, frames: Iterable[tuple[Key, Frame]]
) -> Iterator[Iterator[tuple[Key, Segmentation]]]:
    """What is seen in each frame, with the key that came with it: `pipelined`, in batches."""

    def compute(items: Sequence[tuple[Key, Frame]]) -> list[Segmentation]:
        return segment.segment([frame for _, frame in items])

    with pipelined(frames, compute, batch_on(segment.device)) as results:
        yield ((key, result) for (key, _), result in results)


def _computed(
    ready: Iterable[Item], compute: Callable[[Sequence[Item]], Sequence[Result]], batch: int
) -> Iterator[tuple[Item, Result]]:
    fill = 0
    for group in _batches(ready, batch):
        filled = [*group, *[group[-1]] * (fill - len(group))]
        yield from zip(group, compute(filled)[: len(group)], strict=True)
        fill = len(filled)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


class ReadAhead(Generic[Item]):
    """Iterates `items` in a thread, which waits while WAITING batches of them are not taken yet.

    Use as a context manager, and iterate it once: what `items` raises is raised after all before
    it. The thread ends with the context, at the latest after the item that it reads.
    """

    def __init__(self, items: Iterable[Item], batch: int = 1) -> None:
        self._items = items
        self._channel = _Channel[Item](WAITING * batch)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="reading ahead", daemon=True)

    def __enter__(self) -> ReadAhead[Item]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close(drop=True)
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        yield from self._channel
        if self._error is not None:
            raise self._error

    def _read(self) -> None:
        try:
            for item in self._items:
                if not self._channel.put(item):
                    break
        except BaseException as error:  # raised again in the caller's thread
            self._error = error
        finally:
            self._channel.close()


class WriteBehind:
    """Calls what it is given in a thread, in order; the caller waits while WAITING batches wait.

    Use as a context manager: all calls are done when it ends, also where it ends by an error, but
    not by an interruption, which drops those that have not begun. What a call raises is raised by
    the next one or at the end, and those after it are dropped.
    """

    def __init__(self, batch: int = 1) -> None:
        self._channel = _Channel[Callable[[], object]](WAITING * batch)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, name="writing behind", daemon=True)

    def __enter__(self) -> WriteBehind:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self._channel.close(drop=interrupted)
        self._thread.join()
        if self._error is not None and self._error is not value and not interrupted:
            raise self._error

    def __call__(self, write: Callable[[], object]) -> None:
        if not self._channel.put(write):
            assert self._error is not None, "it is used after its end"
            raise self._error

    def _write(self) -> None:
        try:
            for write in self._channel:
                write()
        except BaseException as error:  # raised again in the caller's thread
            self._error = error
        finally:
            self._channel.close(drop=True)


class _Channel(Generic[Item]):
    """A queue between two threads that holds at most `depth` items, and that both can close."""

    def __init__(self, depth: int) -> None:
        self._depth, self._closed = depth, False
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()

    def put(self, item: Item) -> bool:
        """Waits for room; False, and the item is lost, where it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._depth)
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def __iter__(self) -> Iterator[Item]:
        """Waits for each item, and ends where it is closed and empty."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._items))
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # while it waits for the next one, this one need not stay

    def close(self, drop: bool = False) -> None:
        """Takes no more items; those that are there are still given, unless dropped."""
        with self._changed:
            self._closed = True
            if drop:
                self._items.clear()
            self._changed.notify_all()
