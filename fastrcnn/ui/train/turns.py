"""A queue in which a few trainings compute at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

PATIENCE = 1.0  # seconds between two checks that a waiting visitor is still there


class Turns:
    """Lets `at_once` runs compute at a time, in the order in which they came."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._condition = threading.Condition()
        self._queue: list[object] = []  # the runs that compute now come first

    def take(self, who: object, still_wanted: Callable[[], bool]) -> bool:
        """Wait for a turn. Returns False if the turn is no longer wanted."""
        with self._condition:
            if who not in self._queue:
                self._queue.append(who)
            while self._queue.index(who) >= self._at_once:
                if not still_wanted():
                    self._queue.remove(who)
                    return False
                self._condition.wait(PATIENCE)
            return True

    def leave_queue(self, who: object) -> None:
        """Take `who` out of the queue: its turn ends, or its wait for one."""
        with self._condition:
            if who in self._queue:
                self._queue.remove(who)
            self._condition.notify_all()

    def ahead(self, who: object) -> int:
        """How many turns must end before that of `who` begins. 0 if it has its turn."""
        with self._condition:
            if who not in self._queue:
                return 0
            return max(self._queue.index(who) - self._at_once + 1, 0)
