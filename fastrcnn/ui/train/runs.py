"""The trainings that are running on the page, each visitor's own.

A few runs compute at a time. The others wait for their turn, first come, first served. A paused run
does not block the next one. A run ends when its visitor leaves, starts another run, or makes no
request about it for a while.
"""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

from fastrcnn.errors import FastRCNNError
from fastrcnn.training.recipe import Recipe
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import Memory, training_size
from fastrcnn.ui.texts import text
from fastrcnn.ui.train.run import Preparation, Run
from fastrcnn.ui.train.turns import Turns


class TooMany(FastRCNNError):
    """The limit of runs is reached."""


class Runs:
    """All visitors' runs. Its methods may be called from any thread."""

    def __init__(self, limits: Limits | None = None, memory: Memory | None = None) -> None:
        """memory: counts what is kept here. By default it counts nothing else."""
        self.limits = limits or Limits()
        self._memory = memory or Memory(self.limits)
        self._memory.holders.append(self.held)
        self._turns = Turns(self.limits.trainings)
        self._lock = threading.Lock()
        self._by_token: dict[str, Run] = {}
        self._tokens: dict[str, str] = {}  # by session

    def __len__(self) -> int:
        return len(self._by_token)

    def start(
        self,
        session: str,
        recipe: Recipe,
        data: Preparation,
        *,
        cache: Path | None = None,
        paused: bool = False,
    ) -> str:
        """Replace a session's run with a new one. Returns the new run's token.

        Raises TooMany or Full.
        """
        size = training_size(recipe)
        self._memory.check(session, size, freed=self.held(session))
        self.close(session)
        token = secrets.token_urlsafe(16)
        with self._lock:
            for old in [t for t, run in self._by_token.items() if run.join(0)]:
                del self._by_token[old]
            # Forget the tokens of ended runs too, or their number would only grow.
            self._tokens = {s: t for s, t in self._tokens.items() if t in self._by_token}
            if len(self._by_token) >= self.limits.open_trainings:
                self._make_room()
            run = Run(recipe, data, self._turns, self.limits, cache=cache, paused=paused)
            self._by_token[token] = run
            self._tokens[session] = token
        return token

    def _make_room(self) -> None:
        """Close the run that has been idle longest. Raises TooMany if that is not long enough."""
        token, run = max(self._by_token.items(), key=lambda item: item[1].idle)
        if run.idle < 60 * self.limits.idle_minutes:
            raise TooMany(text("server.trainings", count=self.limits.open_trainings))
        del self._by_token[token]
        run.close()

    def get(self, token: object) -> Run:
        """The run of this token. Notes that its visitor is there. Raises FastRCNNError."""
        run = self._by_token.get(token) if isinstance(token, str) else None
        if run is None or run.join(0):
            raise FastRCNNError(text("server.training-gone"))
        run.touch()
        return run

    def held(self, session: str | None) -> int:
        """The bytes of a session's training. None: those of all sessions."""
        with self._lock:
            own = self._tokens.get(session or "")
            runs = [run for token, run in self._by_token.items() if session is None or token == own]
        return sum(run.size for run in runs if not run.join(0))

    def close(self, session: str) -> None:
        """Close a session's run."""
        with self._lock:
            run = self._by_token.pop(self._tokens.pop(session, ""), None)
        if run is not None:
            run.close()

    def close_all(self, seconds: float) -> None:
        """Close all runs. Waits until they have ended, at most this long for each."""
        with self._lock:
            runs = list(self._by_token.values())
        for run in runs:
            run.close()
        for run in runs:
            run.join(seconds)
