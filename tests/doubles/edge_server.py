"""A stand-in for the edge as clients see it: HTTPS that answers, and HTTP that redirects."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def edge_server(
    context: ssl.SSLContext | None,
    *,
    status: int = 200,
    location: str | None = None,
    address: str = "127.0.0.1",
    drips: bool = False,
) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Answer every GET with `status` until the context ends; gives the port, and (Host, path) of what was asked.

    One that `drips` sends a byte now and then, and never a whole line.
    """
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.headers["Host"], self.path))
            while drips:
                try:
                    self.wfile.write(b"H")
                except OSError:
                    return
                time.sleep(0.1)
            self.send_response(status)
            if location is not None:
                self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer((address, 0), Handler) as server:
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()
