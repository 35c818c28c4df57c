"""Clients that connect and ask for nothing keep nobody else out."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from fastrcnn.ui.hosting.limits import Limits
from tests.ui.conftest import served

START = b"GET /config HTTP/1.1\r\nHost: here\r\n"


@pytest.fixture
def connected(detector) -> Callable:
    @contextmanager
    def connected(limits: Limits, count: int, sends: bytes) -> Iterator[tuple[str, list]]:
        """A page with these limits, its address, and connections that have sent this."""
        with served(detector, limits) as (_, address), ExitStack() as open_ones:
            where = urlsplit(address)
            connections = []
            for _ in range(count):
                connection = socket.create_connection((where.hostname, where.port), timeout=60)
                connections.append(open_ones.enter_context(connection))
                connection.sendall(sends)
            yield address, connections

    return connected


@pytest.mark.parametrize("sends", [b"", START, START + b"\r\n" + START])
def test_who_sends_no_whole_request_is_let_go_of(connected, sends):
    with connected(Limits(connection_seconds=0.5), 3, sends) as (_, connections):
        for connection in connections:
            while connection.recv(65536):  # until the other side closes it, or the time-out
                pass


def test_of_too_many_the_longest_idle_are_let_go_of(connected):
    limits = Limits(connections=4, connection_seconds=3600)
    with connected(limits, 4, b"") as (address, old), ExitStack() as open_ones:
        time.sleep(2.1)  # until they have been seen
        where = urlsplit(address).hostname, urlsplit(address).port
        new = [open_ones.enter_context(socket.create_connection(where)) for _ in range(4)]
        for connection in old:
            assert connection.recv(1) == b""
        for connection in new:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):  # still open
                connection.recv(1)
        assert httpx.get(f"{address}config", timeout=60).status_code == 200


def test_who_is_being_answered_stays(detector):
    with served(detector, Limits(connection_seconds=0.3)) as (page, address):
        where = urlsplit(address).hostname, urlsplit(address).port
        with (
            httpx.stream("GET", f"{address}gradio_api/heartbeat/me", timeout=60),
            socket.create_connection(where, timeout=60) as idle,
        ):
            assert idle.recv(1) == b""
            time.sleep(1.0)
            assert page.present["me"] == 1
