"""Working ahead in threads: order, errors, and an end in the middle."""

from __future__ import annotations

import threading

import pytest

from fastrcnn.runtime.prefetch import prefetch


def test_results_come_in_order_and_errors_with_their_item():
    futures = list(prefetch(lambda item: 12 // item, [3, 0, 4], ahead=2))
    assert futures[0].result() == 4 and futures[2].result() == 3
    with pytest.raises(ZeroDivisionError):
        futures[1].result()


@pytest.mark.parametrize("ahead", [1, 3])
def test_just_so_many_are_worked_on_ahead(ahead):
    given = []

    def items():
        for item in range(10):
            given.append(item)
            yield item

    for number, future in enumerate(prefetch(str, items(), ahead)):
        assert len(given) == min(number + 1 + ahead, 10)
        assert future.result() == str(number)


def test_the_next_item_is_worked_on_while_the_caller_is_busy():
    started = threading.Event()

    def work(item: int) -> None:
        if item == 1:
            started.set()

    working = prefetch(work, range(3), ahead=1)
    next(working).result()
    assert started.wait(timeout=60)
    working.close()


def test_what_has_not_begun_when_it_is_closed_never_does():
    begun, go = [], threading.Event()
    before = set(threading.enumerate())

    def work(item: int) -> None:
        begun.append(item)
        go.wait(timeout=60)

    working = prefetch(work, range(10), ahead=2)
    next(working)  # 0 and 1 are being worked on, 2 waits for a thread
    threading.Timer(0.2, go.set).start()
    working.close()
    assert begun == [0, 1]
    started = set(threading.enumerate()) - before
    assert not [thread for thread in started if "ThreadPool" in thread.name]
