"""Ports for servers of tests."""

from __future__ import annotations

import contextlib
import random
import socket

_given: set[int] = set()
_closed: list[socket.socket] = []


def free_port() -> int:
    """Give a port once, below those that outgoing connections take, so that none takes it before its server does."""
    while True:
        port = random.randrange(15_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def closed_port() -> int:
    """Give a port that refuses connections as long as the tests run: it is bound, so that nobody else takes it, and
    nobody listens on it."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    _closed.append(held)
    port: int = held.getsockname()[1]
    return port
