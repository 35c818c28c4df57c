"""The analysed pictures that are open on the page, each visitor's own, in memory only.

A visitor's browser names its picture by a token that nobody else can guess. A visitor has one
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


class Gone(FastRCNNError):
    """A token whose picture is no longer kept."""


@dataclass
class Analysis:
    """A picture being analysed or done.

    name: the file's, as its owner calls it. stage: what is known so far. example: where the
    picture is one of ours, with its true objects.
    """

    name: str
    stage: Stage | None = None
    example: Example | None = None


class Analyses:
    """All visitors' pictures. Its methods may be called from any thread."""

    def __init__(self, detector: Detector, limit: int = 32) -> None:
        self.detector = detector
        self._limit = limit
        self._lock = threading.Lock()
        self._by_token: OrderedDict[str, Analysis] = OrderedDict()
        self._tokens: dict[str, str] = {}  # by session
        self._examples: dict[str, Stage] = {}
        self._example_lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._by_token)

    def get(self, token: object) -> Analysis:
        """The picture of this token. Raises Gone."""
        with self._lock:
            analysis = self._by_token.get(token) if isinstance(token, str) else None
            if analysis is None:
                raise Gone("This picture is no longer kept; choose it again.")
            self._by_token.move_to_end(token)
            return analysis

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

    def close(self, session: str) -> None:
        """Free what a session holds."""
        with self._lock:
            self._forget(session)

    def _forget(self, session: str) -> None:
        token = self._tokens.pop(session, None)
        if token is not None:
            del self._by_token[token]

    def analyse(self, analysis: Analysis, picture: np.ndarray) -> Iterator[Stage]:
        """Run the detector, keeping each stage in `analysis`; an example is run once for all."""
        if analysis.example is None:
            yield from self._follow(analysis, self.detector.stages(picture))
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
