"""Ports for servers of tests."""

from __future__ import annotations

import contextlib
import random
import socket

_given: set[int] = set()


def free_port() -> int:
    """Give a port once, below those that outgoing connections take, so that none takes it before its server does."""
    while True:
        port = random.randrange(15_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
