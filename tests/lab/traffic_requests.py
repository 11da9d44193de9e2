"""The client outside: HTTPS requests one after the other, an outcome a line; standard library only.

Started by traffic.py and told by one JSON argument; ends when its standard input does, and waits for the answers to
what it has sent.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import threading
import time
from typing import Any


class Client:
    """One client: a connection for each request, or one for as long as it holds."""

    def __init__(self, told: dict[str, Any], tls: ssl.SSLContext, stop: threading.Event) -> None:
        self.told, self.tls, self.stop = told, tls, stop
        self.connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Ask until told to stop, or as often as told."""
        asked = 0
        while not self.stop.is_set() and (not self.told["count"] or asked < self.told["count"]):
            began = time.monotonic()
            outcome = self.outcome()
            tell({"began": began, "seconds": time.monotonic() - began, **outcome})
            asked += 1
            self.stop.wait(max(0.0, began + self.told["every"] - time.monotonic()))
        self.close()

    def outcome(self) -> dict[str, Any]:
        """One request: its status and answer, or what went wrong. No request is tried twice."""
        fresh = self.connection is None
        try:
            status, answer = self.ask(self.connection or self.connect())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return {"status": None, "answer": {}, "fresh": fresh, "error": f"{type(error).__name__}: {error}"}
        return {"status": status, "answer": answer, "fresh": fresh, "error": ""}

    def connect(self) -> http.client.HTTPConnection:
        """Connect to the edge's address, and verify that it is who it is asked for."""
        plain = socket.create_connection((self.told["address"], 443), self.told["timeout"])
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = http.client.HTTPConnection(self.told["server_name"])
        self.connection.sock = plain
        self.connection.sock = self.tls.wrap_socket(plain, server_hostname=self.told["server_name"])
        return self.connection

    def ask(self, connection: http.client.HTTPConnection) -> tuple[int, Any]:
        """Send the request, read the whole answer."""
        headers = {} if self.told["keep_alive"] else {"Connection": "close"}
        body = self.told["body"]
        connection.request("GET" if body is None else "POST", self.told["path"], body, headers)
        response = connection.getresponse()
        read = response.read()
        if response.will_close or not self.told["keep_alive"]:
            self.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(read) if is_json else {}

    def close(self) -> None:
        """Drop the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def tell(outcome: dict[str, Any]) -> None:
    """Print one line whole, whoever else prints."""
    with printing:
        print(json.dumps(outcome), flush=True)


printing = threading.Lock()


def main() -> None:
    """Run as many clients as told, until standard input ends or all have asked as often as told."""
    told = json.loads(sys.argv[1])
    tls = ssl.create_default_context(cadata=told["certificate"])
    stop = threading.Event()
    clients = [threading.Thread(target=Client(told, tls, stop).run) for _ in range(told["clients"])]
    for client in clients:
        client.start()
    if not told["count"]:
        sys.stdin.read()
        stop.set()
    for client in clients:
        client.join()


if __name__ == "__main__":
    main()
