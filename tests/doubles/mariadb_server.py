"""A stand-in for MariaDB's first words: greeting, TLS, and turning a login away.

It stands in for a MariaDB that listens on a tunnel address. The bytes are those of 10.11.19, recorded.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

GREETING = (
    b"\n5.5.5-10.11.19-MariaDB-0+deb12u1\x00\x04\x00\x00\x00nR/1GTOp\x00\xfe\xff\x08\x02\x00\xff\x81\x15"
    b"\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00\x27n=aL*t8=5R`\x00mysql_native_password\x00"
)
ACCESS_DENIED = b"\xff\x15\x04#28000Access denied for user 'fortress-verify'@'10.100.0.4' (using password: NO)"
BLOCKED = b"\xffi\x04Host '10.100.0.4' is blocked because of many connection errors"
SWITCH = b"\xfeclient_ed25519\x00" + 32 * b"x"


@dataclass
class MariaDb:
    """A running server. `logins` has how each connection left: `turned away`, or `hung up` before it was."""

    address: str
    port: int
    logins: list[str] = field(default_factory=list)


@contextlib.contextmanager
def mariadb_server(
    context: ssl.SSLContext | None,
    *,
    greeting: bytes = GREETING,
    switches: bool = False,
    address: str = "127.0.0.1",
) -> Iterator[MariaDb]:
    """Serve until the context ends. Without an SSL context it does not offer TLS; `switches` asks for another login."""
    if context is None:
        greeting = greeting.replace(b"\xfe\xff\x08", b"\xfe\xf7\x08")
    with socket.create_server((address, 0)) as listener:
        server = MariaDb(address, listener.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), connection:
                    connection.settimeout(5)
                    _serve_one(server, connection, context, greeting, switches)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _serve_one(
    server: MariaDb, connection: socket.socket, context: ssl.SSLContext | None, greeting: bytes, switches: bool
) -> None:
    connection.sendall(_packet(0, greeting))
    if context is None or not connection.recv(36):
        return
    with context.wrap_socket(connection, server_side=True) as secure:
        sequence = 3
        left = secure.recv(4096)
        if left and switches:
            secure.sendall(_packet(sequence, SWITCH))
            left = secure.recv(4096)
            sequence += 2
        server.logins.append("turned away" if left else "hung up")
        if left:
            secure.sendall(_packet(sequence, ACCESS_DENIED))


def _packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload
