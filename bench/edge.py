"""The edge's haproxy.cfg beside a minimal one: requests a second and latency, both with kept connections.

One HAProxy with each file stands before the same server, with the same certificate and the same TLS. wrk asks them in
turn, so that what else goes on on the machine meets both, and what counts is the ratio of medians. Everything runs on
loopback and shares the machine's cores: wrk and the server cost the same with both files, which brings the ratio nearer
to 1 than the files alone would. HAProxy's own time on a processor for each request is given beside it: other work on
the machine hardly changes that.

    python -m bench edge --repeat 6
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure
from bench.stand import BenchError
from fortress.haproxy import TLS_CIPHERSUITES, Backend, Edge, render
from tests.engine import debian
from tests.ports import free_port

SERVER_NAME = "bench.fortress.example"
CERTIFICATE = Path(__file__).parents[1] / "fortress" / "scripts" / "edge-certificate"
BODY = "a" * 1000
"""What the server answers: about as much as an API does."""
STARTS_WITHIN_S = 10
SECONDS, CONNECTIONS, RELEASE = 3, 20, "trixie"
"""Of each run."""
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
"""Of wrk's times, in ms."""

SERVER = """
defaults
    mode http
    timeout client 60s
    timeout http-keep-alive 60s
frontend server
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string {body}
"""
MINIMAL = """
global
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    ssl-default-bind-ciphersuites {ciphersuites}
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend https
    bind 127.0.0.1:{port} ssl crt {certificate} alpn h2,http/1.1
    default_backend oslo
backend oslo
    server oslo-web 127.0.0.1:{server} check
"""


@dataclass(frozen=True)
class EdgeRun:
    """What wrk measured at one file."""

    per_second: float
    """Requests."""
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """HAProxy's time on processors for each request."""


@dataclass(frozen=True)
class Programs:
    """The two that the measurement needs."""

    haproxy: Path
    wrk: Path


def programs(release: str, folder: Path) -> Programs:
    """HAProxy and wrk as a release of Debian packages them, unpacked into the cache."""
    return Programs(
        debian.program(debian.unpacked("haproxy", release, 1, ["haproxy"]), "usr/sbin/haproxy", folder),
        debian.program(debian.unpacked("wrk", release, 1, ["wrk"]), "usr/bin/wrk", folder),
    )


def measured(
    tools: Programs, folder: Path, seconds: int, rounds: int, connections: int
) -> tuple[list[EdgeRun], list[EdgeRun], str]:
    """Give the runs at the minimal file and at the edge's, and HAProxy's version; the two take turns.

    Raises:
        RuntimeError: An HAProxy did not start, or wrk met an answer other than 200 or a connection that broke.
    """
    certificate = folder / "site.pem"
    subprocess.run(["dash", CERTIFICATE, certificate, "30", "14", SERVER_NAME], check=True, capture_output=True)
    server, minimal, http, https = (free_port() for _ in range(4))
    edge = Edge(
        server_name=SERVER_NAME,
        primary=Backend(site="oslo", servers={"oslo-web": f"127.0.0.1:{server}"}, maxconn=max(50, 2 * connections)),
        overflow=Backend(site="frankfurt", servers={"fra-1": f"127.0.0.1:{server}"}, maxconn=50),
        maxconn=max(2000, 8 * connections),
        certificate=str(certificate),
        stats_socket=str(folder / "admin.sock"),
        bind_http=f"127.0.0.1:{http}",
        bind_https=f"127.0.0.1:{https}",
        user="nobody",
        group="nogroup",
        chroot=str(folder),
    )
    files = {
        "server": (SERVER.format(port=server, body=BODY), server),
        "minimal": (
            MINIMAL.format(
                port=minimal, server=server, certificate=certificate, ciphersuites=":".join(TLS_CIPHERSUITES)
            ),
            minimal,
        ),
        "edge": (render(edge), https),
    }
    found: dict[int, list[EdgeRun]] = {minimal: [], https: []}
    processes: dict[int, int] = {}
    with contextlib.ExitStack() as stack:
        for name, (text, port) in files.items():
            (folder / f"{name}.cfg").write_text(text)
            processes[port] = stack.enter_context(_running(tools.haproxy, folder / f"{name}.cfg", port))
        for port in found:  # checks pass, caches fill
            _ask(tools.wrk, port, processes[port], 1, connections)
        for number in range(rounds):
            for port in sorted(found, reverse=number % 2 == 1):
                found[port].append(_ask(tools.wrk, port, processes[port], seconds, connections))
    version = subprocess.run([tools.haproxy, "-v"], capture_output=True, text=True, check=True).stdout.split(" ")[2]
    return found[minimal], found[https], version


def ratio(minimal: Sequence[EdgeRun], edge: Sequence[EdgeRun], field: str) -> float:
    """Give the edge's median of a field of EdgeRun, divided by the minimal file's."""
    return _median(edge, field) / _median(minimal, field)


def _median(runs: Sequence[EdgeRun], field: str) -> float:
    return statistics.median(float(getattr(run, field)) for run in runs)


@contextlib.contextmanager
def _running(haproxy: Path, config: Path, port: int) -> Iterator[int]:
    """An HAProxy that listens, by the id of its process."""
    with config.with_suffix(".log").open("w") as log:
        process = subprocess.Popen([haproxy, "-db", "-f", config], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"HAProxy did not start with {config}: {config.with_suffix('.log').read_text()}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _cpu_s(process: int) -> float:
    """Seconds that a process has had on processors: fields 14 and 15 of its stat (proc_pid_stat(5))."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ask(wrk: Path, port: int, process: int, seconds: int, connections: int) -> EdgeRun:
    before = _cpu_s(process)
    done = subprocess.run(
        [wrk, "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", f"https://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    if done.returncode != 0 or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk: {done.stdout}{done.stderr}")
    return read(done.stdout, _cpu_s(process) - before)


def read(said: str, cpu_s: float) -> EdgeRun:
    """What `wrk --latency` says of requests that took HAProxy so many seconds on processors.

    Raises:
        RuntimeError: A figure is missing.
    """
    count = re.search(r"(\d+) requests in ", said)
    rate = re.search(r"Requests/sec: +([\d.]+)", said)
    times = {percent: float(time) * UNITS[unit] for percent, time, unit in re.findall(r"(\d+)% +([\d.]+)(\w+)", said)}
    if not rate or not count or not {"50", "99"} <= set(times):
        raise RuntimeError(f"wrk said nothing of use: {said}")
    return EdgeRun(float(rate[1]), times["50"], times["99"], cpu_s * 1e6 / int(count[1]))


def figures(repeat: int) -> Iterator[Figure]:
    """Requests a second, latency and HAProxy's processor time, by so many runs at each file.

    Raises:
        BenchError: as `measured` raises RuntimeError.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        folder = Path(path)
        folder.chmod(0o755)
        try:
            minimal, edge, version = measured(programs(RELEASE, folder), folder, SECONDS, repeat, CONNECTIONS)
        except RuntimeError as error:
            raise BenchError(str(error)) from None
    beside = "a minimal haproxy.cfg"
    note = f"HAProxy {version}, {CONNECTIONS} kept connections, loopback"
    for field, what, unit, goal in (
        ("per_second", "requests a second through the edge", "", 0.95),
        ("p50_ms", "half of them within", "ms", None),
        ("p99_ms", "99 % of them within", "ms", 1.1),
        ("cpu_us", "HAProxy's processor time for each", "µs", None),
    ):
        yield Figure(
            what, _median(edge, field), unit, _median(minimal, field), beside, goal, field == "per_second", note
        )
