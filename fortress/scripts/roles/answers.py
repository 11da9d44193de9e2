"""What the service answers by HTTPS: to proxies, and to other servers for their states and for a copy of the data."""

from __future__ import annotations

import base64
import hmac
import http.server
import json
import socket
import ssl
import subprocess
import sys
import threading
import urllib.parse
from collections import deque
from dataclasses import asdict
from typing import Any

from .host import CERTIFICATE, SOCKET, RoleError, pipe
from .server import USER, hash_of, quoted, sql
from .service import Service


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers proxies and other servers."""

    service: Service
    timeout = 10
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match urllib.parse.urlsplit(self.path).path:
            case "/primary":
                writes = self.service.takes_writes()
                self.say(200 if writes else 503, f"{self.service.decision.why}\n".encode())
            case "/state":
                self.say(200, json.dumps(asdict(self.service.report())).encode(), "application/json")
            case "/seed":
                self.seed()
            case _:
                self.say(404, b"no such thing\n")

    do_HEAD = do_GET
    do_OPTIONS = do_GET

    def say(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        """A whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        self.close_connection = True

    def seed(self) -> None:
        """All data, to another server that knows the replication password: a stream of mariadb-backup.

        In chunks, whose last one is sent only when mariadb-backup ended well: one that is cut cannot pass for all.
        """
        if self.client_address[0] not in self.service.config.others.values() or not self.allowed():
            self.say(403, b"only another server may copy the data\n")
            return
        if not self.service.takes_writes():
            self.say(409, b"this server does not take the writes\n")
            return
        if not self.service.sending.acquire(blocking=False):
            self.say(409, b"another server is being sent the data; one after the other\n")
            return
        try:
            self.send_backup()
        finally:
            self.service.sending.release()

    def allowed(self) -> bool:
        """Whether the caller has the password of the replication account, of which the server keeps a hash."""
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        try:
            password = base64.b64decode(given, validate=True).partition(b":")[2]
            rows = sql(
                "SELECT JSON_VALUE(Priv, '$.authentication_string') AS hash FROM mysql.global_priv "
                f"WHERE User = {quoted(USER)}"
            )[0]
        except (ValueError, RoleError, IndexError):
            return False
        hashes = [str(row["hash"]) for row in rows if row["hash"]]
        return kind == "Basic" and any(hmac.compare_digest(hash_of(password), each) for each in hashes)

    def send_backup(self) -> None:
        words = ["mariadb-backup", "--backup", "--stream=mbstream", "--user=mysql", f"--socket={SOCKET}"]
        with subprocess.Popen(
            [*words, "--target-dir=/tmp/seed", "--parallel=2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        ) as backup:
            said: deque[bytes] = deque(maxlen=20)
            reading = threading.Thread(target=lambda: said.extend(pipe(backup.stderr)), daemon=True)
            reading.start()
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.connection.settimeout(60)
            self.close_connection = True
            try:
                while part := pipe(backup.stdout).read(1 << 18):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                if backup.wait() == 0:
                    self.wfile.write(b"0\r\n\r\n")
                    return
            except OSError as error:
                backup.kill()
                said.append(str(error).encode())
            reading.join(5)
            print(f"a copy of the data was not sent: {b' '.join(said).decode(errors='replace')[-1000:]}", flush=True)

    def log_message(self, format: str, *args: object) -> None:
        """Proxies ask every second: nothing is logged."""


class RoleServer(http.server.ThreadingHTTPServer):
    """HTTPS; each handshake in the thread of its connection, with the certificate that is there now."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, service: Service) -> None:
        self.context: ssl.SSLContext | None = None
        self.born: tuple[float, int] = (0.0, 0)
        handler = type("Bound", (Handler,), {"service": service})
        super().__init__((service.config.servers[service.config.me], service.config.port), handler)

    def server_bind(self) -> None:
        # The tunnel may come later than the service: as MariaDB itself does it (IP_FREEBIND).
        self.socket.setsockopt(socket.IPPROTO_IP, 15, 1)
        super().server_bind()

    def current(self) -> ssl.SSLContext:
        """With a renewed certificate once there is one."""
        found = CERTIFICATE.stat()
        born = (found.st_mtime, found.st_ino)
        if self.context is None or born != self.born:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(CERTIFICATE)
            self.context, self.born = context, born
        return self.context

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(5)
        with self.current().wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that goes away, or speaks no TLS, is no news."""
        if not isinstance(sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
