"""The analysed pictures that are open on the page, each visitor's own, in memory only.

Pictures are looked at through the detector that ships with the project, or through one that the
visitor has trained.
The browser names the picture by a token that nobody else can guess. A visitor has one
picture at a time; it is freed when another takes its place, when the page is left, or when more
than `limit` visitors came after.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastrcnn.detect import Detector, Stage
from fastrcnn.errors import FastRCNNError
from fastrcnn.ui.examples import Example
from fastrcnn.ui.texts import text


class Gone(FastRCNNError):
    """A token whose picture is no longer kept."""


@dataclass
class Analysis:
    """A picture being analysed or done.

    name: the file's, as its owner calls it. detector: whose steps are shown. stage: what is known
    so far. example: where the picture is one of ours. objects: what is truly on the picture, where
    that is known, ``{"label", "box", "difficult"}`` each.
    """

    name: str
    detector: Detector
    stage: Stage | None = None
    example: Example | None = None
    objects: tuple[dict, ...] = ()


class Analyses:
    """All visitors' pictures. Its methods may be called from any thread."""

    def __init__(self, detector: Detector, limit: int = 32) -> None:
        self.detector = detector
        self._limit = limit
        self._lock = threading.Lock()
        self._by_token: OrderedDict[str, Analysis] = OrderedDict()
        self._tokens: dict[str, str] = {}  # by session
        self._trained: dict[str, Detector] = {}  # by session
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
            return self._by_token[token]

    def open(self, session: str, analysis: Analysis) -> str:
        """Keep a session's new picture in the place of its old one; returns its token."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._forget(session)
            self._tokens[session] = token
            self._by_token[token] = analysis
            while len(self._by_token) > self._limit:
                oldest = next(iter(self._by_token))
                self._forget(next(s for s, t in self._tokens.items() if t == oldest))
        return token

    def use(self, session: str, detector: Detector | None) -> None:
        """From now on a session's pictures go through this detector; None: the one that ships."""
        with self._lock:
            self._trained.pop(session, None)
            if detector is not None:
                self._trained[session] = detector

    def detector_of(self, session: str) -> Detector:
        """The detector that a session's pictures go through."""
        return self._trained.get(session, self.detector)

    def close(self, session: str) -> None:
        """Free what a session holds."""
        with self._lock:
            self._forget(session)
            self._trained.pop(session, None)

    def _forget(self, session: str) -> None:
        token = self._tokens.pop(session, None)
        if token is not None:
            del self._by_token[token]

    def analyse(self, analysis: Analysis, picture: np.ndarray) -> Iterator[Stage]:
        """Run its detector, keeping each stage in `analysis`; an example is run once for all."""
        if analysis.example is None or analysis.detector is not self.detector:
            yield from self._follow(analysis, analysis.detector.stages(picture))
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
