"""The analysed pictures that are open on the page, each visitor's own, in memory only.

Pictures are looked at through the detector that ships with the project, or through one that the
visitor has trained.
The browser names the picture by a token that nobody else can guess. A visitor has one
picture at a time; it is freed when another takes its place, when the page is left, or when so many
others came after that the limits are reached.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np

from fastrcnn.detector import Detector, Stage
from fastrcnn.errors import FastRCNNError
from fastrcnn.ui.explore.examples import Example
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import Memory, size_of
from fastrcnn.ui.texts import text


class Gone(FastRCNNError):
    """A token whose picture is no longer kept."""


@dataclass
class Analysis:
    """A picture being analysed or done.

    name: the file's, as its owner calls it. detector: whose steps are shown. stage: what is known
    so far. example: where the picture is one of ours. objects: what is truly on the picture, where
    that is known, ``{"label", "box", "difficult"}`` each. session: its owner's, once it is open.
    size: the bytes that it holds beside what all visitors share.
    """

    name: str
    detector: Detector
    stage: Stage | None = None
    example: Example | None = None
    objects: tuple[dict, ...] = ()
    session: str = ""
    size: int = 0


class Analyses:
    """All visitors' pictures. Its methods may be called from any thread."""

    def __init__(
        self, detector: Detector, limits: Limits | None = None, memory: Memory | None = None
    ) -> None:
        """memory: where what is kept here is counted; by default nothing else is."""
        self.detector = detector
        self._limits = limits or Limits()
        self._memory = memory or Memory(self._limits)
        self._memory.holders.append(self.held)
        self._lock = threading.Lock()
        self._by_token: OrderedDict[str, Analysis] = OrderedDict()
        self._tokens: dict[str, str] = {}  # by session
        self._trained: dict[str, Detector] = {}  # by session
        self._asked: dict[str, float] = {}  # when a session last wanted something
        self._examples: dict[str, Stage] = {}
        self._example_lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._by_token)

    def get(self, token: object) -> Analysis:
        """The picture of this token. Raises Gone."""
        with self._lock:
            if not isinstance(token, str) or token not in self._by_token:
                raise Gone(text("server.gone"))
            self._by_token.move_to_end(token)
            analysis = self._by_token[token]
            self._asked[analysis.session] = time.monotonic()
            return analysis

    def open(self, session: str, analysis: Analysis) -> str:
        """Keep a session's new picture in the place of its old one; returns its token."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._forget(session)
            analysis.session = session
            self._asked[session] = time.monotonic()
            self._tokens[session] = token
            self._by_token[token] = analysis
            while len(self._by_token) > self._limits.pictures:
                self._forget(next(iter(self._by_token.values())).session)
        return token

    def use(self, session: str, detector: Detector | None) -> None:
        """From now on a session's pictures go through this detector; None: the one that ships.

        Raises Full where there is no memory for it.
        """
        if detector is not None:
            before = self._trained.get(session)
            self._memory.ask(
                session,
                size_of(detector.model),
                instead_of=size_of(before.model) if before else 0,
            )
        with self._lock:
            self._trained.pop(session, None)
            if detector is not None:
                self._asked[session] = time.monotonic()
                self._trained[session] = detector

    def detector_of(self, session: str) -> Detector:
        """The detector that a session's pictures go through."""
        return self._trained.get(session, self.detector)

    def close(self, session: str) -> None:
        """Free what a session holds."""
        with self._lock:
            self._forget(session)
            self._trained.pop(session, None)
            self._asked.pop(session, None)

    def close_absent(self, present: Container[str]) -> None:
        """Free what the sessions hold that are not present and have not asked for a while."""
        until = time.monotonic() - self._limits.away_seconds
        for session, asked in list(self._asked.items()):
            if asked < until and session not in present:
                self.close(session)

    def _is_kept(self, analysis: Analysis) -> bool:
        return self._by_token.get(self._tokens.get(analysis.session, "")) is analysis

    def held(self, session: str | None) -> int:
        """The bytes that a session's picture and detector take; None: all sessions'."""
        with self._lock:
            analyses = [a for a in self._by_token.values() if session in (None, a.session)]
            trained = [d.model for s, d in self._trained.items() if session in (None, s)]
        return sum(analysis.size for analysis in analyses) + size_of(trained)

    def _forget(self, session: str) -> None:
        token = self._tokens.pop(session, None)
        if token is not None:
            del self._by_token[token]

    def analyse(self, analysis: Analysis, picture: np.ndarray) -> Iterator[Stage]:
        """Run its detector, keeping each stage in `analysis`; an example is run once for all.

        Raises Full, and lets go of the picture, where there is no memory for it.
        """
        if analysis.example is None or analysis.detector is not self.detector:
            for stage in self._follow(analysis, analysis.detector.stages(picture)):
                self._make_room(analysis)
                yield stage
            return
        name = analysis.example.name
        with self._example_lock:  # who comes second waits for the first one's result
            if name in self._examples:
                yield from self._follow(analysis, iter([self._examples[name]]))
                return
            yield from self._follow(analysis, self.detector.stages(picture))
            if analysis.stage is not None:
                self._examples[name] = analysis.stage

    @staticmethod
    def _follow(analysis: Analysis, stages: Iterator[Stage]) -> Iterator[Stage]:
        for stage in stages:
            analysis.stage = stage
            yield stage

    def _make_room(self, analysis: Analysis) -> None:
        """Count the picture, and let go of others' for it, the one not asked for longest first."""
        analysis.size = size_of(analysis.stage)
        session = analysis.session
        while self._memory.left(session) >= 0 > self._memory.left(None):
            with self._lock:
                others = [a for a in self._by_token.values() if a.size and a is not analysis]
                if not others:
                    break
                self._forget(others[0].session)
        if self._is_kept(analysis) and min(map(self._memory.left, (session, None))) < 0:
            with self._lock:
                self._forget(session)
            self._memory.ask(session, analysis.size)
