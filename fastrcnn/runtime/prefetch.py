"""Work on the next items in threads while the caller is busy with the present one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


def prefetch(work: Callable[[T], S], items: Iterable[T], ahead: int) -> Iterator[Future[S]]:
    """`work(item)` for each item, as futures in the order of the items.

    ahead: how many items after the present one are worked on, each in a thread of its own. `items`
    is read by the caller's thread. What `work` raises is raised by the future's ``result()``. Once
    this iterator is closed nothing new begins.
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
