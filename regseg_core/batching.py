"""Items of several kinds in turns: computed in batches of one kind, given in their order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: So many batches wait at most: as many kinds as there may be in turns before batches are not full.
MIXED = 4


@dataclass
class _Waiting(Generic[Item, Result]):
    """An item that was not given yet. `done`: nothing is to be computed of it any more."""

    item: Item
    kind: Hashable
    done: bool
    result: Result | None = None


def batched(
    items: Iterable[Item],
    kind_of: Callable[[Item], Hashable],
    compute: Callable[[Sequence[Item]], Sequence[Result]],
    batch: int,
) -> Iterator[tuple[Item, Result | None]]:
    """Each item with what `compute` makes of it, in order; it gets `batch` items of one kind.

    Fewer only where MIXED batches of items would wait, and at the end. Nothing is computed of items
    whose kind is None. What `items` raises is raised after the results of all before it.
    """
    waiting: deque[_Waiting[Item, Result]] = deque()
    alike: defaultdict[Hashable, list[_Waiting[Item, Result]]] = defaultdict(list)

    def run(kind: Hashable) -> None:
        group = alike.pop(kind)
        for entry, result in zip(group, compute([one.item for one in group]), strict=True):
            entry.result, entry.done = result, True

    def given(most: int) -> Iterator[tuple[Item, Result | None]]:
        """What is done before the first that is not, and more until no more than that wait."""
        while waiting and (waiting[0].done or len(waiting) > most):
            if not waiting[0].done:
                run(waiting[0].kind)
            entry = waiting.popleft()
            yield entry.item, entry.result

    source = iter(items)
    while True:
        try:
            item = next(source)
        except StopIteration:
            break
        except Exception:
            yield from given(0)
            raise
        kind = kind_of(item)
        waiting.append(_Waiting(item, kind, done=kind is None))
        if kind is not None:
            alike[kind].append(waiting[-1])
            if len(alike[kind]) == batch:
                run(kind)
        yield from given(MIXED * batch)
    yield from given(0)
