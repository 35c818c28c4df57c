"""The analysed pictures that are open on the page, each visitor's own, in memory only.

The detector is the one that ships with the project, or one that the visitor has trained. The
browser names a picture by a token that nobody can guess. A visitor has one picture at a time. It is
freed when another picture replaces it or when the visitor leaves. When the limits are reached, the
picture that has been unused for longest is freed.
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
from fastrcnn.model.svd import HeadFactors
from fastrcnn.ui.hosting import compile_ahead
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import Memory, size_of
from fastrcnn.ui.texts import text


class Gone(FastRCNNError):
    """A token whose picture is no longer kept."""


@dataclass
class Analysis:
    """A picture being analysed or done.

    name: the file's name on its owner's machine. detector: the detector whose steps are shown.
    stage: the last finished stage. example: the example's name, None for a visitor's own picture.
    objects: the true objects of the picture if they are known, each ``{"label", "box",
    "difficult"}``. factors: those of a visitor's own detector, once a view has needed them.
    session: the owner's session, once the picture is open. size: its bytes, without those that all
    visitors share.
    """

    name: str
    detector: Detector
    stage: Stage | None = None
    example: str | None = None
    objects: tuple[dict, ...] = ()
    factors: HeadFactors | None = None
    session: str = ""
    size: int = 0


class Analyses:
    """All visitors' pictures. Its methods may be called from any thread."""

    def __init__(
        self, detector: Detector, limits: Limits | None = None, memory: Memory | None = None
    ) -> None:
        """memory: counts what is kept here. By default it counts nothing else."""
        self.detector = detector
        self._limits = limits or Limits()
        self._memory = memory or Memory(self._limits)
        self._memory.holders.append(self.held)
        self._lock = threading.Lock()
        self._by_token: OrderedDict[str, Analysis] = OrderedDict()
        self._tokens: dict[str, str] = {}  # by session
        self._trained: dict[str, Detector] = {}  # by session
        self._last_request: dict[str, float] = {}  # by session, in monotonic seconds
        self._factors: HeadFactors | None = None  # of the project's own detector
        self._factors_lock = threading.Lock()
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
            self._last_request[analysis.session] = time.monotonic()
            return analysis

    def open(self, session: str, analysis: Analysis) -> str:
        """Replace a session's picture with a new one. Returns the new token."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._forget(session)
            analysis.session = session
            self._last_request[session] = time.monotonic()
            self._tokens[session] = token
            self._by_token[token] = analysis
            while len(self._by_token) > self._limits.pictures:
                self._forget(next(iter(self._by_token.values())).session)
        return token

    def use(self, session: str, detector: Detector | None) -> None:
        """Use this detector for a session's next pictures. None: the project's own detector.

        Raises Full where there is no memory for it.
        """
        if detector is not None:
            before = self._trained.get(session)
            freed = size_of(before.model) if before else 0
            self._memory.check(session, size_of(detector.model), freed=freed)
        with self._lock:
            self._trained.pop(session, None)
            if detector is not None:
                self._last_request[session] = time.monotonic()
                self._trained[session] = detector

    def detector_of(self, session: str) -> Detector:
        """The detector that is used for a session's pictures."""
        return self._trained.get(session, self.detector)

    def factors(self, analysis: Analysis) -> HeadFactors:
        """The factors of a picture's detector. All visitors share those of the project's detector.

        Raises Full where there is no memory for a visitor's own.
        """
        model = analysis.detector.model
        with self._factors_lock:  # it takes seconds, so nobody computes them twice
            if analysis.detector is self.detector:
                if self._factors is None:
                    self._factors = HeadFactors.of(model)
                return self._factors
            if analysis.factors is None:
                # About as many numbers as the layers themselves.
                self._memory.check(analysis.session, size_of(model.head))
                analysis.factors = HeadFactors.of(model)
                analysis.size += size_of(analysis.factors)
            return analysis.factors

    def close(self, session: str) -> None:
        """Free a session's picture and detector."""
        with self._lock:
            self._forget(session)
            self._trained.pop(session, None)
            self._last_request.pop(session, None)

    def close_absent(self, present: Container[str]) -> None:
        """Free the memory of absent sessions that made no request for `away_seconds`."""
        until = time.monotonic() - self._limits.away_seconds
        for session, last in list(self._last_request.items()):
            if last < until and session not in present:
                self.close(session)

    def _is_kept(self, analysis: Analysis) -> bool:
        return self._by_token.get(self._tokens.get(analysis.session, "")) is analysis

    def held(self, session: str | None) -> int:
        """The bytes of a session's picture and detector. None: those of all sessions."""
        with self._lock:
            analyses = [a for a in self._by_token.values() if session in (None, a.session)]
            trained = [d.model for s, d in self._trained.items() if session in (None, s)]
        return sum(analysis.size for analysis in analyses) + size_of(trained)

    def _forget(self, session: str) -> None:
        token = self._tokens.pop(session, None)
        if token is not None:
            del self._by_token[token]

    def analyse(self, analysis: Analysis, picture: np.ndarray) -> Iterator[Stage]:
        """Run its detector and keep each stage in `analysis`. All visitors share an example's run.

        If there is no memory for the picture, it is freed and Full is raised.
        """
        compile_ahead.wait()
        if analysis.example is None or analysis.detector is not self.detector:
            for stage in self._follow(analysis, analysis.detector.stages(picture)):
                self._make_room(analysis)
                yield stage
            return
        name = analysis.example
        with self._example_lock:  # a second visitor waits for the first one's result
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
        """Count the picture. Others are freed to make room, the one unused for longest first."""
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
            self._memory.check(session, analysis.size)
