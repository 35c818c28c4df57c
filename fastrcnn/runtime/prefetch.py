"""Works on the next items in threads while the caller is busy with the current one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


def prefetch(work: Callable[[T], S], items: Iterable[T], ahead: int) -> Iterator[Future[S]]:
    """`work(item)` for each item, as futures in the order of the items.

    ahead: how many items after the current one are worked on, each in its own thread. The caller's
    thread reads `items`. An exception of `work` is raised by the future's ``result()``. No new work
    begins after this iterator is closed.
    """
    waiting: deque[Future[S]] = deque()
    with ThreadPoolExecutor(ahead) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()
