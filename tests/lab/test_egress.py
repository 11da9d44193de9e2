"""What hosts let out: at a closed site what they need and what the settings name, tried by real connections."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import api
from lab.base import processes, topology
from lab.net import network
from tests.lab import traffic
from tests.lab.fortress import Fortress, Settings, on
from tests.lab.inside import all_up

pytestmark = pytest.mark.usefixtures("fortress")

FRANKFURT = ("fra-1", "fra-2")
EDGE = str(topology.HOSTS["oslo-edge"].address)
OUTSIDE = str(topology.OUTSIDE)
LISTEN = """
import socket, sys, threading
servers = [socket.create_server((sys.argv[1], 0)) for _ in range(2)]
print(*[server.getsockname()[1] for server in servers], flush=True)
def serve(server):
    while True:
        server.accept()[0].close()
for server in servers:
    threading.Thread(target=serve, args=(server,), daemon=True).start()
sys.stdin.read()
"""
TRY = """
import os, socket, sys
uid, address, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
os.setgid(uid)
os.setuid(uid)
attempt = socket.socket()  # which belongs to the user who makes it
attempt.settimeout(5)
try:
    attempt.connect((address, port))
    print("reached")
except OSError as error:
    print(error.strerror or error)
"""
WORKLOAD, ROOT = 65_000, 0
REFUSED = "No route to host"


@contextmanager
def two_listeners() -> Iterator[tuple[int, int]]:
    """Two ports that answer everybody, somewhere outside of both sites."""
    command = [*network.enter(api.current(), "outside"), sys.executable, "-I", "-c", LISTEN, OUTSIDE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        one, other = map(int, process.stdout.readline().split())
        try:
            yield one, other
        finally:
            process.communicate()


def attempt(host: str, address: str, port: int, user: int = WORKLOAD) -> str:
    """What becomes of a connection that a user of a host opens."""
    done = api.console(host, f"exec python3 -I - {user} {address} {port}", TRY)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def egress_checks(fortress: Fortress) -> dict[str, dict[str, str]]:
    """The checks `egress` of `fortress verify`, by host."""
    done = fortress.command("verify", "--stack", "lab", "--json")
    return {one["host"]: one for one in json.loads(done.stdout)["checks"] if one["name"] == "egress"}


def test_frankfurt_reaches_what_it_needs_and_nothing_else(fortress: Fortress) -> None:
    with two_listeners() as (port, _):
        for host in FRANKFURT:
            for user in (WORKLOAD, ROOT):
                assert attempt(host, OUTSIDE, port, user) == REFUSED
                assert attempt(host, EDGE, 443, user) == REFUSED
            # A workload has no packages and no names either: these are the system's own.
            for address, forbidden in ((str(topology.REPOSITORY), 80), (OUTSIDE, 53)):
                assert attempt(host, address, forbidden) == REFUSED
            # Through the tunnel: the database.
            assert attempt(host, "10.100.0.1", 3306) == "reached"
            on(host, "rm -rf /var/lib/apt/lists/* && apt-get -qq update 2>&1")
            on(host, "apt-get -qq -y install --reinstall --download-only nftables 2>&1 && apt-get clean")
        assert attempt("oslo-web", OUTSIDE, port) == "reached"
    found = egress_checks(fortress)
    assert {host: one["status"] for host, one in found.items()} == dict.fromkeys(FRANKFURT, "ok"), found


def test_verify_and_drift_tell_of_a_host_that_hands_opened(fortress: Fortress) -> None:
    on("fra-1", "nft insert rule inet fortress output accept")
    last = "nft -a list chain inet fortress output | sed -n 's/.* reject .*# handle //p'"
    on("fra-2", f"nft delete rule inet fortress output handle $({last})")
    try:
        found = egress_checks(fortress)
        assert (found["fra-1"]["status"], found["fra-1"]["value"]) == ("fail", "reached"), found
        # Dropped by the policy, and no rule says so: somebody has changed the chain.
        assert (found["fra-2"]["status"], found["fra-2"]["value"]) == ("fail", "not refused"), found
        told = fortress.command("drift", "--stack", "lab")
        assert told.returncode == 1, told.stdout
        assert "accept" in told.stdout
    finally:
        for host in FRANKFURT:
            on(host, "nft -f /etc/nftables.conf")
    fortress.check_whole()


def test_a_site_that_stands_is_closed_and_opened_without_a_lost_request(fortress: Fortress) -> None:
    with two_listeners() as (port, other):

        def close(stack: Settings) -> None:
            stack["sites"]["oslo"]["egress"] = "closed"
            stack["egress"] = {
                "payments": {"source": "oslo-web", "address": f"{OUTSIDE}/32", "port": port, "purpose": "To be paid."}
            }

        with traffic.requests(every=0.05) as single, traffic.requests(every=0.05, keep_alive=True) as kept:
            with traffic.stream() as stream, fortress.changed(close):
                fortress.up()
                assert attempt("oslo-web", OUTSIDE, port) == "reached"
                assert attempt("oslo-web", OUTSIDE, other) == REFUSED
                assert attempt("oslo-db", OUTSIDE, port) == REFUSED
                assert attempt("oslo-edge", OUTSIDE, port) == REFUSED
                found = egress_checks(fortress)
                assert {host: one["status"] for host, one in found.items()} == dict.fromkeys(
                    ("oslo-db", "oslo-edge", "oslo-web", *FRANKFURT), "ok"
                ), found
                fortress.check_whole()
            assert attempt("oslo-web", OUTSIDE, other) == "reached"
    assert not single.failed, single
    assert not kept.failed, kept
    print(f"{single}; on kept connections {kept}; through the tunnel {stream}")


def test_a_closed_host_serves_again_after_a_boot(fortress: Fortress) -> None:
    api.kill("fra-1")
    api.start("fra-1")
    processes.until("fra-1 up at the edge", 60, all_up, every=0.2)
    assert attempt("fra-1", EDGE, 443) == REFUSED
    fortress.check_whole()
