"""The photographs from which visitors teach a class of their own, in memory only.

A visitor has one album. The browser names it by a token that nobody can guess. It is freed when the
visitor leaves.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Container
from dataclasses import dataclass, field, replace

from fastrcnn.detections import Detections
from fastrcnn.detector import Detector, Trace
from fastrcnn.errors import FastRCNNError
from fastrcnn.postprocess import Selection
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import Memory, size_of
from fastrcnn.ui.texts import text


@dataclass(eq=False)
class Photo:
    """A photograph as the detector that ships saw it.

    name: the file's name on its owner's machine. trace: without the search's regions. found: what
    the taught detector finds on it, None before it is taught.
    """

    name: str
    trace: Trace
    found: Detections | None = None


@dataclass(eq=False)
class Album:
    """A visitor's photographs by their numbers, and the detector that was taught from them."""

    token: str
    photos: dict[int, Photo] = field(default_factory=dict)
    detector: Detector | None = None
    last_request: float = field(default_factory=time.monotonic)
    added: int = 0

    def photo(self, number: object) -> Photo:
        """The photograph of this number. Raises FastRCNNError."""
        photo = self.photos.get(number) if isinstance(number, int) else None
        if photo is None:
            raise FastRCNNError(text("server.no-photo"))
        return photo

    @property
    def size(self) -> int:
        """The bytes of the photographs and of the taught detector."""
        model = self.detector and self.detector.model
        return size_of([photo.trace for photo in self.photos.values()], model)


class Albums:
    """All visitors' albums. Its methods may be called from any thread."""

    def __init__(self, limits: Limits, memory: Memory) -> None:
        self._limits = limits
        self._memory = memory
        self._memory.holders.append(self.held)
        self._lock = threading.Lock()
        self._by_session: dict[str, Album] = {}

    def of(self, session: str) -> Album:
        """A session's album; a new one if it has none."""
        with self._lock:
            album = self._by_session.setdefault(session, Album(secrets.token_urlsafe(16)))
            album.last_request = time.monotonic()
            return album

    def get(self, token: object) -> Album:
        """The album of this token. Raises FastRCNNError."""
        with self._lock:
            for album in self._by_session.values():
                if isinstance(token, str) and secrets.compare_digest(album.token, token):
                    album.last_request = time.monotonic()
                    return album
        raise FastRCNNError(text("server.album-gone"))

    def check_room(self, session: str) -> None:
        """Raises FastRCNNError if the album of a session is full."""
        if len(self.of(session).photos) >= self._limits.album_photos:
            raise FastRCNNError(text("server.album-full", most=self._limits.album_photos))

    def add(self, session: str, name: str, trace: Trace) -> Photo:
        """Put a photograph into a session's album. Raises FastRCNNError if there is no room."""
        self.check_room(session)
        photo = Photo(name, replace(trace, proposals=None))
        self._memory.check(session, size_of(photo.trace))
        album = self.of(session)
        with self._lock:
            album.photos[album.added] = photo
            album.added += 1
        return photo

    def check_teaching(self, session: str, detector: Detector, pictures: int) -> None:
        """Raises Full if there is no memory to teach from so many photographs.

        For each proposal the outputs of fc7 are kept, and as many numbers again for the gradient.
        """
        hidden = pictures * Selection().max_proposals * detector.model.config.fc7 * 4
        self._memory.check(session, 2 * hidden + size_of(detector.model))

    def held(self, session: str | None) -> int:
        """The bytes of a session's album. None: those of all sessions."""
        with self._lock:
            albums = [a for s, a in self._by_session.items() if session in (None, s)]
        return sum(album.size for album in albums)

    def close(self, session: str) -> None:
        """Free a session's album."""
        with self._lock:
            self._by_session.pop(session, None)

    def close_absent(self, present: Container[str]) -> None:
        """Free the albums of absent sessions that made no request for `away_seconds`."""
        until = time.monotonic() - self._limits.away_seconds
        with self._lock:
            for session, album in list(self._by_session.items()):
                if album.last_request < until and session not in present:
                    del self._by_session[session]
