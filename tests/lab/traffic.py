"""Traffic that goes on while a test does something to the fortress: requests from outside, a stream through the tunnel.

Requests come from the lab's client outside, over TLS, and trust nothing but the edge's own certificate, which is read
on its host beforehand. Times are those of time.monotonic(), which is one clock for tests, clients and hosts.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lab import api
from lab.base import topology
from lab.base.processes import until
from lab.host import hosts
from lab.net import network


@dataclass(frozen=True)
class Edge:
    """Who is asked: a host of the lab, and the name that its certificate has."""

    host: str
    server_name: str


LAB_EDGE = Edge("oslo-edge", "lab.fortress.example")
REQUEST_S = 20.0
"""Seconds that a client waits for anything: more than the edge does, so that the edge is the one to give up."""


@dataclass(frozen=True)
class Answer:
    """The outcome of one request. `status` is None when no answer came; then `error` says why."""

    began: float
    seconds: float
    status: int | None
    answer: dict[str, Any]
    fresh: bool
    """Whether a connection was opened for it."""
    error: str

    @property
    def ended(self) -> float:
        return self.began + self.seconds

    @property
    def ok(self) -> bool:
        return self.status == 200

    @property
    def host(self) -> str | None:
        """The worker that answered."""
        return self.answer.get("host")


class Process:
    """A program that prints a JSON object a line, collected while it runs, and that ends with its standard input."""

    def __init__(self, command: Sequence[str], collect: Callable[[dict[str, Any]], object]) -> None:
        self.errors: list[str] = []
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"]},
        )
        assert self._process.stdout
        assert self._process.stderr
        lines, errors = self._process.stdout, self._process.stderr
        self._readers = [
            threading.Thread(target=lambda: [collect(json.loads(line)) for line in lines], daemon=True),
            threading.Thread(target=lambda: self.errors.extend(errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def finish(self, seconds: float) -> None:
        """Wait until it has ended by itself; kills it when that takes longer than so many seconds."""
        try:
            status = self._process.wait(seconds)
        finally:
            self._process.kill()
            for reader in self._readers:
                reader.join()
        assert status == 0, "".join(self.errors)

    def stop(self, seconds: float) -> None:
        """Tell it to end, and wait for what it still has to say."""
        assert self._process.stdin
        self._process.stdin.close()
        self.finish(seconds)


class Requests:
    """Requests from outside, and what became of them so far."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    @property
    def failed(self) -> list[Answer]:
        """Those that were answered by anything but 200, or not at all."""
        return [answer for answer in list(self.answers) if not answer.ok]

    @property
    def hosts(self) -> Counter[str | None]:
        """How often each worker answered."""
        return Counter(answer.host for answer in list(self.answers) if answer.ok)

    def since(self, moment: float) -> list[Answer]:
        """Those that began after a moment."""
        return [answer for answer in list(self.answers) if answer.began >= moment]

    def percentile(self, share: float) -> float:
        """Seconds within which that share (0 to 1) of the answers came; NaN when there is none."""
        seconds = sorted(answer.seconds for answer in list(self.answers))
        return seconds[max(0, math.ceil(share * len(seconds)) - 1)] if seconds else math.nan

    def wait(self, what: str, seconds: float, test: Callable[[Answer], bool]) -> Answer:
        """Wait for a request that begins from now on and ends as the test wants; LabError when none does in time."""
        moment = time.monotonic()
        found: list[Answer] = []

        def look() -> bool:
            found.extend(answer for answer in self.since(moment) if test(answer))
            return bool(found)

        until(what, seconds, look)
        return found[0]

    def __str__(self) -> str:
        failures = Counter(answer.error or str(answer.status) for answer in self.failed)
        seconds = " ".join(f"p{share * 100:g} {self.percentile(share) * 1000:.0f} ms" for share in (0.5, 0.99, 1))
        return f"{len(self.answers)} requests, {seconds}, by {dict(self.hosts)}, failed {dict(failures)}"


def certificate(edge: Edge = LAB_EDGE) -> str:
    """The edge's certificate, PEM, as it lies on its host: asked not through the network, so it can be trusted."""
    done = api.console(edge.host, "openssl x509 -in /etc/ssl/private/site.pem")
    assert done.returncode == 0, done.stderr
    return done.stdout


def _client(
    into: Requests,
    path: str,
    *,
    count: int,
    clients: int,
    every: float,
    keep_alive: bool,
    body: str | None,
    edge: Edge = LAB_EDGE,
) -> Process:
    told = {
        "address": str(topology.HOSTS[edge.host].address),
        "server_name": edge.server_name,
        "certificate": certificate(edge),
        "timeout": REQUEST_S,
        "path": path,
        "body": body,
        "count": count,
        "clients": clients,
        "every": every,
        "keep_alive": keep_alive,
    }
    script = str(Path(__file__).with_name("traffic_requests.py"))
    command = [*network.enter(api.current(), "outside"), sys.executable, "-I", script, json.dumps(told)]
    return Process(command, lambda line: into.answers.append(Answer(**line)))


@contextmanager
def requests(
    path: str = "/", *, clients: int = 1, every: float = 0.05, keep_alive: bool = False, edge: Edge = LAB_EDGE
) -> Iterator[Requests]:
    """GET a path again and again from outside, until the `with` ends; each request is sent once and never again.

    Args:
        path: what to ask for.
        clients: how many ask at a time.
        every: seconds from the begin of a client's request to that of its next one, at least.
        keep_alive: one connection a client, for as long as the edge keeps it; else one for each request.
        edge: who is asked.
    """
    found = Requests()
    client = _client(found, path, count=0, clients=clients, every=every, keep_alive=keep_alive, body=None, edge=edge)
    try:
        until("the first answer", REQUEST_S + 5, lambda: bool(found.answers))
        yield found
    finally:
        client.stop(REQUEST_S + 5)


def burst(path: str, clients: int) -> Requests:
    """One request each from so many clients at once; gives what became of them."""
    found = Requests()
    _client(found, path, count=1, clients=clients, every=0, keep_alive=False, body=None).finish(REQUEST_S + 5)
    return found


def ask(path: str, body: str | None = None, edge: Edge = LAB_EDGE) -> Answer:
    """One request from outside: a GET, or a POST when there is a body."""
    found = Requests()
    client = _client(found, path, count=1, clients=1, every=0, keep_alive=False, body=body, edge=edge)
    client.finish(REQUEST_S + 5)
    return found.answers[0]


@dataclass(frozen=True)
class Round:
    """Bytes that went through the stream and came back. `session` is the database's number for the connection."""

    began: float
    seconds: float
    bytes: int
    session: int


class Stream:
    """One TCP connection through the tunnel."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.error = ""
        """What broke it, if anything did."""

    @property
    def bytes(self) -> int:
        """How many went through it, both ways together."""
        return sum(each.bytes for each in list(self.rounds))

    @property
    def longest(self) -> float:
        """Seconds of the slowest round."""
        return max(each.seconds for each in list(self.rounds))

    def take(self, line: dict[str, Any]) -> None:
        """Note a line of its program."""
        if "error" in line:
            self.error = line["error"]
        else:
            self.rounds.append(Round(**line))

    def __str__(self) -> str:
        return (
            f"{len(self.rounds)} rounds, {self.bytes / 1e6:.1f} MB, longest {self.longest:.3f} s, {self.error or 'ok'}"
        )


@cache
def _stream_script() -> str:
    return Path(__file__).with_name("traffic_stream.py").read_text()


@contextmanager
def stream(worker: str = "fra-1") -> Iterator[Stream]:
    """One TCP connection from a worker through the tunnel to the database, busy both ways until the `with` ends.

    It is a session with MariaDB over TLS, so it needs no port of its own and crosses what every worker's data does;
    64 KB go there and come back, again and again. At the end it must still be the same session.
    """
    found = Stream()
    console = hosts.console(api.current(), topology.host(worker))
    process = Process([*console, "python3", "-c", _stream_script()], found.take)
    try:
        until("the stream", 60, lambda: bool(found.rounds or found.error))
        yield found
    finally:
        process.stop(70)
    assert not found.error, found
    assert len({each.session for each in found.rounds}) == 1
