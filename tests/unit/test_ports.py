"""Ports that tests are given."""

from __future__ import annotations

import socket

import pytest

from tests.ports import closed_port, free_port


def test_a_closed_port_refuses_and_is_nobody_elses() -> None:
    port = closed_port()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_a_free_port_is_given_once_and_can_be_listened_on() -> None:
    ports = {free_port() for _ in range(50)}
    assert len(ports) == 50
    assert all(15_000 <= port < 32_000 for port in ports)
    with socket.create_server(("127.0.0.1", ports.pop())):
        pass
